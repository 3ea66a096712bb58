"""One contract for all formats: everything is shown, and nothing breaks out of its place."""

import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt

from bamctl.report.document import Column, Finding, Report, Table
from bamctl.report.formats.formats import FORMATS

NASTY = 'a|b <script> [red]*x*_y_`z`, "q"'


def report() -> Report:
    table = Table([Column("name"), Column("number", "right")], [[NASTY, "+1"], ["x" * 300, "-2"]])
    return Report(
        heading="heading",
        blocks=[table, "words to end with"],
        data={"schema": 1, "name": NASTY},
        records=[{"name": NASTY, "number": 1}, {"name": "b", "other": None}],
    )


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_ends_in_one_newline(format_name: str) -> None:
    text = FORMATS[format_name].render(report(), to_file=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text


def test_table_shows_text_as_it_is() -> None:
    text = FORMATS["table"].render(report(), to_file=True)
    assert NASTY in text
    assert "x" * 300 in text
    assert "words to end with" in text


def test_json_is_the_data() -> None:
    assert json.loads(FORMATS["json"].render(report(), to_file=True)) == report().data


def test_csv_has_every_column() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(report(), to_file=True))))
    assert rows[0] == {"name": NASTY, "number": "1", "other": ""}
    assert rows[1] == {"name": "b", "number": "", "other": ""}


def test_markdown_escapes_what_would_be_markup() -> None:
    text = FORMATS["markdown"].render(report(), to_file=True)
    assert r"a\|b \<script\> \[red\]\*x\*\_y\_\`z\`" in text
    assert "| --- | ---: |" in text


# What a file's name or a key may hold, and a cell, in a file that somebody else has sent.
HOSTILE = "a\n::error file=x::b\r##[error]c\x1b[2Jd\x9be\u202ef"
FORMULAS = ["=cmd|' /C calc'!A0", "+cmd|x", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\uff1dcmd"]


def hostile() -> Report:
    table = Table([Column(HOSTILE)], [[HOSTILE], ["::warning::first"], [f"{'x ' * 49}::stop::y"]])
    finding = Finding(HOSTILE, HOSTILE, HOSTILE, "failed", file=HOSTILE, line=1)
    return Report(
        heading=HOSTILE,
        blocks=[table, HOSTILE, f"{'x ' * 49}::stop::y"],
        data={HOSTILE: HOSTILE},
        records=[{HOSTILE: HOSTILE}],
        findings=[finding],
    )


@pytest.mark.parametrize("format_name", sorted(FORMATS.keys() - {"html"}))
def test_names_command_neither_the_terminal_nor_github(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FORMATS[format_name].render(hostile(), to_file=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    commands = [line for line in text.splitlines() if line.lstrip().startswith("::")]
    # The one command is our own, for the finding; its parts cannot add another.
    assert len(commands) == (format_name == "github")
    assert all(line.startswith("::error file=a%0A") for line in commands)
    assert "##[" not in text


def test_json_keeps_hostile_values() -> None:
    assert json.loads(FORMATS["json"].render(hostile(), to_file=True)) == {HOSTILE: HOSTILE}


def test_csv_cells_are_one_line_and_no_formulas() -> None:
    records = [{"name": each} for each in [*FORMULAS, HOSTILE, "+2 %", "-1.5 M", -3, "r=16"]]
    text = FORMATS["csv"].render(Report("", [], {}, records), to_file=True)
    cells = [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert len(text.splitlines()) == len(records) + 1
    assert not any(cell.lstrip()[0] in "=+-@\uff1d" for cell in cells[: len(FORMULAS) + 1])
    # Amounts are what limits are written in, and stay numbers.
    assert cells[-4:] == ["+2 %", "-1.5 M", "-3", "r=16"]


def test_markdown_names_nobody() -> None:
    text = "@someone `@team/x` (@you) a@b latency@cpu #12\n- list\n1. list\n=== rule"
    shown = FORMATS["markdown"].render(Report("@me", [text], {}), to_file=True)
    # GitHub links what it finds in the rendered text, so this is read from there.
    tokens = MarkdownIt().parse(shown)
    plain = "".join(each.content for token in tokens for each in token.children or [token])
    assert not re.search(r"(?<![A-Za-z0-9])[@#]\w", plain)
    assert "latency@cpu" in plain
    assert {token.type for token in tokens} == {
        "heading_open", "inline", "heading_close", "paragraph_open", "paragraph_close"
    }  # fmt: skip
    assert not any(each.type == "code_inline" for token in tokens for each in token.children or [])


SHOUTING = """
import sys
from bamctl.report.formats.formats import FORMATS, Format

def render(report, *, to_file):
    return report.heading.upper()

FORMATS["shouted"] = Format("__main__")
from bamctl.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_format_is_one_entry(forked: object) -> None:
    shown = forked(SHOUTING, "models", "--format", "shouted")
    assert (shown.returncode, shown.stdout) == (0, "121 MODELS")
    assert "shouted" in forked(SHOUTING, "check", "--help").stdout
    refused = forked(SHOUTING, "models", "--format", "whispered")
    assert refused.returncode == 2
    assert "'shouted'" in refused.stderr
