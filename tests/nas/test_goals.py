from fractions import Fraction

import pytest

from bamctl.errors import InputError
from bamctl.nas.goals import Goal, parse_budget, parse_goal


def test_budgets_are_read() -> None:
    goal, limit = parse_budget("params=+2%")
    assert (goal, limit.above(100)) == (Goal("params"), 102)
    goal, limit = parse_budget("latency@rtx3090=3 ms")
    assert (str(goal), limit.above(0)) == ("latency@rtx3090", Fraction(3, 1000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("params", "is not a budget; write it like params=.2%"),
        ("param=+2%", "did you mean 'params'"),
        ("latency=+2%", "write it like latency@rtx3090"),
        ("params@rtx3090=+2%", "'params@rtx3090' is not supported in a search"),
        ("weights_file=+2%", "is not supported in a search"),
        ("params=2", "has no unit"),
    ],
)
def test_what_is_no_budget_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_budget(text)


def test_a_figure_is_written_as_it_is_read() -> None:
    for text in ("params", "macs", "memory", "latency@a100"):
        assert str(parse_goal(text)) == text
