"""Where things are in pictures: axes that include what they are compared with, labels, counts."""

import pytest

from bamctl import Placement
from bamctl.budgets.check import check_targets
from bamctl.budgets.targets import Target
from bamctl.report.chart import Axis, Bar, Bars, Distributions, Plot, Point, Sample, Series
from bamctl.report.charts.check import check_charts
from bamctl.report.formats._plots import draw
from bamctl.report.formats._rows import bars, boxes, intervals
from bamctl.report.formats._scales import scale

AXIS, SHARE = Axis("x"), Axis("x", is_percent=True)


@pytest.mark.parametrize(
    ("axis", "values", "ticks"),
    [
        (AXIS, [3, 17], ["0", "5", "10", "15", "20"]),
        (
            AXIS,
            [27.35e6, 27.83e6],
            ["27.3 M", "27.4 M", "27.5 M", "27.6 M", "27.7 M", "27.8 M", "27.9 M"],
        ),
        (Axis("x", includes=(0.0,)), [27.35e6, 27.83e6], ["0", "10 M", "20 M", "30 M"]),
        (SHARE, [0.981, 0.9866], ["98 %", "98.2 %", "98.4 %", "98.6 %", "98.8 %"]),
        (AXIS, [-1.12, 1.23], ["-1.5", "-1", "-0.5", "0", "0.5", "1", "1.5"]),
        (AXIS, [5, 5], ["0", "1", "2", "3", "4", "5"]),
        (AXIS, [], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_ticks(axis: Axis, values: list[float], ticks: list[str]) -> None:
    found = scale(axis, values)
    assert [tick.text for tick in found.ticks] == ticks
    assert (found.ticks[0].at, found.ticks[-1].at) == (0, 100)
    assert all(0 <= found.at(value) <= 100 for value in values)


def test_a_relative_budget_is_what_is_added_against_what_may_be() -> None:
    # ResNet50 has 25,557,032 parameters, and three BAMs have 360,761: 1.41 %, where 1 % may be.
    budget = {"params": "+1 %", "macs": "4.2 GMACs"}
    placement = Placement(model="resnet50", where="bottleneck", budget=budget)
    chart, _ = check_charts(check_targets([Target(placement)]))
    params, macs = chart.bars
    assert params.value == pytest.approx(360_761 / 255_570.32)
    assert (params.label, params.is_bad, params.base) == ("+1.41 % of +1 %", True, 0)
    assert macs.value == pytest.approx((4_089_184_256 + 82_149_536) / 4.2e9, rel=1e-3)
    assert macs.base == pytest.approx(4_089_184_256 / 4.2e9)
    drawn = bars(chart)
    assert drawn.ticks[0].text == "0 %"
    assert drawn.marks == [drawn.ticks[2].at]
    assert drawn.ticks[2].text == "100 %"


def test_bars_and_boxes_start_at_zero() -> None:
    drawn = bars(Bars("", "", AXIS, [Bar("a", 90.0, ""), Bar("b", 100.0, "")], limit=80.0))
    assert [row.spans[0].start for row in drawn.rows] == [0, 0]
    assert drawn.ticks[0].text == "0"
    # Of 1 to 21, the quartiles are 6, 11 and 16, and the 5th and 95th percentiles 2 and 20.
    box = boxes(Distributions("", "", AXIS, [Sample("a", list(range(21, 0, -1)))]))
    whisker, middle, median = box.rows[0].spans
    assert box.ticks[-1].text == "20"
    assert [whisker.start, middle.start, median.start] == [10, 30, 55]
    assert [whisker.width, middle.width] == [90, 50]


def test_an_interval_is_beside_zero() -> None:
    point = Point(0.02, "a - b", "a - b\n+2.00 points, helps", 0.01, 0.04, attachment="a")
    plot = Plot("", "", SHARE, Axis(""), [Series("", [point])], marks=[0.0])
    drawn = intervals(plot)
    assert drawn.marks == [0]
    (row,) = drawn.rows
    assert (row.text, row.attachment) == ("+2.00 points, helps", "a")
    interval, dot = row.spans
    assert (interval.start, interval.width, dot.start) == (25, 75, 50)


def test_points_that_coincide_are_one_mark_with_their_number_and_names() -> None:
    points = [Point(1, 1, "a\n+1"), Point(3, 2, "c\n+3"), Point(1, 1, "b\n+1", attachment="b")]
    drawn = draw(Plot("", "", Axis("x", includes=(0.0,)), AXIS, [Series("", points)]))
    first, second = drawn.series[0].marks
    assert (first.count, first.text, first.attachment) == (2, "a\n+1\nb\n+1", "b")
    assert (second.count, second.x, second.y, second.left, second.top) == (1, 3, 2, 100, 0)
    assert [label.text for label in drawn.labels] == ["a +1", "c"]
    # There is no room at its right.
    assert drawn.labels[1].anchor == "end"


def test_many_points_have_no_names_and_long_lines_no_marks() -> None:
    points = [Point(n, n, str(n)) for n in range(100)]
    plot = Plot("", "", AXIS, AXIS, [Series("tried", points), Series("line", points, "line")])
    drawn = draw(plot)
    assert drawn.labels == []
    assert [len(each.marks) for each in drawn.series] == [100, 0]
    assert drawn.series[1].line.startswith("M0 1000L10 990L")


def test_a_front_goes_across_and_then_up() -> None:
    points = [Point(0, 0, "a"), Point(5, 10, "b"), Point(10, 10, "c")]
    drawn = draw(Plot("", "", AXIS, AXIS, [Series("front", points, "front")]))
    assert drawn.series[0].line == "M0 1000H500V0H1000V0"


def test_labels_do_not_meet() -> None:
    points = [Point(n / 10, 1, f"placement number {n}") for n in range(10)]
    drawn = draw(Plot("", "", AXIS, AXIS, [Series("", points)]))
    assert 0 < len(drawn.labels) < 10
