"""What a report looks like on screens of 80 and 160 columns, set by hand."""

import re

import pytest

from bamctl.report.document import Column, Report, Table
from bamctl.report.formats.formats import FORMATS

NARROW = [Column("site"), Column("parameters", "right"), Column("", "right"), Column("role")]
WIDE = [Column(f"number {n}", "right") for n in range(8)]
REPORT = Report(
    heading="resnet50   3x224x224",
    blocks=[
        Table(
            NARROW,
            [["layer1", "+17,747", "+0.07 %", "bottleneck"], ["layer2", "+69,283", "", "|"]],
            frozenset({0}),
        ),
        "Figures are for one image. "
        "MACs: multiply-adds of convolution, linear, matmul and attention, one multiply-add = 1.\n"
        "Nothing is left uncounted.",
        Table(WIDE, [[f"{10**n:,}" for n in range(8)]]),
    ],
    data={},
    records=[
        {"module": "layer1", "added_params": 17747, "parts": [1, 2]},
        {"module": 'a "b", c', "added_params": None},
    ],
)

# The wide table has six columns of 8 characters, one of 9 and one of 10. With gaps of two it is 81
# wide, one too many for a narrow screen; with gaps of one it is 74.
COLUMNS_160 = """\
resnet50   3x224x224

site    parameters           role
layer1     +17,747  +0.07 %  bottleneck
layer2     +69,283           |

Figures are for one image. MACs: multiply-adds of convolution, linear, matmul and attention, one
multiply-add = 1.
Nothing is left uncounted.

number 0  number 1  number 2  number 3  number 4  number 5   number 6    number 7
       1        10       100     1,000    10,000   100,000  1,000,000  10,000,000
"""
COLUMNS_80 = """\
resnet50   3x224x224

site    parameters           role
layer1     +17,747  +0.07 %  bottleneck
layer2     +69,283           |

Figures are for one image. MACs: multiply-adds of convolution, linear, matmul
and attention, one multiply-add = 1.
Nothing is left uncounted.

number 0 number 1 number 2 number 3 number 4 number 5  number 6   number 7
       1       10      100    1,000   10,000  100,000 1,000,000 10,000,000
"""
MARKDOWN = r"""### resnet50   3x224x224

| site | parameters |  | role |
| --- | ---: | ---: | --- |
| layer1 | +17,747 | +0.07 % | bottleneck |
| layer2 | +69,283 |  | \| |

Figures are for one image. MACs: multiply-adds of convolution, linear, matmul and attention, one multiply-add = 1.
Nothing is left uncounted.

| number 0 | number 1 | number 2 | number 3 | number 4 | number 5 | number 6 | number 7 |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 | 10 | 100 | 1,000 | 10,000 | 100,000 | 1,000,000 | 10,000,000 |
"""  # noqa: E501
CSV = """module,added_params,parts
layer1,17747,"[1, 2]"
"a ""b"", c",,
"""


def on_screen(monkeypatch: pytest.MonkeyPatch, columns: int, format_name: str = "table") -> str:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    text: str = FORMATS[format_name].render(REPORT, to_file=False)
    return text


def plain(text: str) -> str:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


@pytest.mark.parametrize(("columns", "expected"), [(80, COLUMNS_80), (160, COLUMNS_160)])
def test_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, expected: str) -> None:
    assert plain(on_screen(monkeypatch, columns)) == expected


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize(("format_name", "expected"), [("markdown", MARKDOWN), ("csv", CSV)])
def test_formats_without_a_width(
    monkeypatch: pytest.MonkeyPatch, columns: int, format_name: str, expected: str
) -> None:
    assert on_screen(monkeypatch, columns, format_name) == expected


def test_a_pipe_and_a_file_have_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert FORMATS["table"].render(REPORT, to_file=True) == COLUMNS_160
    assert FORMATS["table"].render(REPORT, to_file=False) == COLUMNS_160


def test_a_screen_that_is_far_too_narrow_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = plain(on_screen(monkeypatch, 40))
    assert max(map(len, shown.splitlines())) <= 40
    for word in ("bottleneck", "uncounted"):
        assert word in shown


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    # Bold and dim are no colours; 30 to 37 and 90 to 97 would be.
    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])", on_screen(monkeypatch, 80))
