"""One contract for all formats: everything is shown, and nothing breaks out of its place."""

import csv
import io
import json

import pytest

from bamctl.report import RENDERERS
from bamctl.report.document import Column, Report, Table

NASTY = 'a|b <script> [red]*x*_y_`z`, "q"'


def report() -> Report:
    table = Table([Column("name"), Column("number", "right")], [[NASTY, "+1"], ["x" * 300, "-2"]])
    return Report(
        heading="heading",
        blocks=[table, "words to end with"],
        data={"schema": 1, "name": NASTY},
        records=[{"name": NASTY, "number": 1}, {"name": "b", "other": None}],
    )


@pytest.mark.parametrize("format_name", RENDERERS)
def test_every_format_ends_in_one_newline(format_name: str) -> None:
    text = RENDERERS[format_name](report(), to_file=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\x1b" not in text


def test_table_shows_text_as_it_is() -> None:
    text = RENDERERS["table"](report(), to_file=True)
    assert NASTY in text
    assert "x" * 300 in text
    assert "words to end with" in text


def test_json_is_the_data() -> None:
    assert json.loads(RENDERERS["json"](report(), to_file=True)) == report().data


def test_csv_has_every_column() -> None:
    rows = list(csv.DictReader(io.StringIO(RENDERERS["csv"](report(), to_file=True))))
    assert rows[0] == {"name": NASTY, "number": "1", "other": ""}
    assert rows[1] == {"name": "b", "number": "", "other": ""}


def test_markdown_escapes_what_would_be_markup() -> None:
    text = RENDERERS["markdown"](report(), to_file=True)
    assert r"a\|b \<script\> \[red\]\*x\*\_y\_\`z\`" in text
    assert "| --- | ---: |" in text
