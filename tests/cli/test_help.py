"""`bamctl help`: chapters of the documentation in the terminal."""

import pytest

from bamctl.cli.app import run
from bamctl.cli.commands import help as command
from bamctl.report._wording import CONVENTION
from tests.conftest import assert_one_line_error
from tests.readme import CHAPTERS

NAMES = sorted(path.stem for path in CHAPTERS.glob("*.md"))


def test_without_a_topic_every_chapter_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help"]) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in words if line and line[0] in NAMES] == NAMES
    assert ["check", "Check", "budgets,", "here", "and", "in", "CI"] in words


@pytest.mark.parametrize("name", NAMES)
def test_every_chapter_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", name]) == 0
    shown = capsys.readouterr().out
    text = (CHAPTERS / f"{name}.md").read_text()
    assert shown.splitlines()[0] == text.splitlines()[0].removeprefix("# ")
    # Code is as it was written, whatever its width.
    for block in text.split("```")[1::2]:
        for line in block.splitlines()[1:]:
            assert line.strip() in shown
    assert "](" not in shown


def test_a_command_without_a_chapter_has_that_of_its_subject(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["help", "judge"])
    of_judge = capsys.readouterr().out
    run(["help", "train"])
    assert of_judge == capsys.readouterr().out
    assert set(command.COMMANDS.values()) <= set(NAMES)


def test_a_link_to_a_chapter_is_the_command_that_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bamctl.cli.markdown import terminal

    assert terminal("See [figures](figures.md).") == "See figures (bamctl help figures).\n"


def test_the_convention_is_whole_in_its_chapter() -> None:
    assert CONVENTION in " ".join(command.chapter("figures").split())


def test_a_topic_that_is_not_there(bamctl: object) -> None:
    result = bamctl("help", "latnecy")
    assert_one_line_error(result, "no topic 'latnecy'", "did you mean 'latency'", "`bamctl help`")
