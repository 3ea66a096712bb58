"""The formats that programs read checks in: JUnit, GitHub's commands, and a comment's Markdown."""

import re

import pytest
from junitparser import Error, Failure, JUnitXml
from markdown_it import MarkdownIt

from bamctl.report.document import Column, Finding, Report, Table
from bamctl.report.formats.formats import FORMATS

NASTY = '50 % of a,b: <x> & "y"\r\nsecond line \x07 \ud800'
SPELT_OUT = NASTY.replace("\r", r"\r").replace("\x07", r"\x07").replace("\ud800", r"\ud800")


def report(*findings: Finding, rows: int = 1) -> Report:
    table = Table([Column("a|b"), Column("c", "right")], [[NASTY, str(row)] for row in range(rows)])
    return Report("heading", [table], {}, (), findings)


FINDINGS = (
    Finding("a", "first", NASTY, "failed", "a,b:c.yaml", 3),
    Finding("a", "second", "fine", "passed", "a", 4),
    Finding("a", "third", "look", "warning"),
    Finding(NASTY, "fourth", "not readable", "error"),
)


def test_junit() -> None:
    suites = list(
        JUnitXml.fromstring(FORMATS["junit"].render(report(*FINDINGS), to_file=True).encode())
    )
    assert [(s.tests, s.failures, s.errors) for s in suites] == [(3, 1, 0), (1, 0, 1)]
    first, second, third = suites[0]
    assert isinstance(first.result[0], Failure)
    assert '50 % of a,b: <x> & "y"' in first.result[0].message
    assert second.is_passed
    assert third.is_passed
    assert third.system_out == "look"
    (fourth,) = suites[1]
    assert isinstance(fourth.result[0], Error)


# The elements and attributes that Jenkins' xUnit schema allows where ours are.
ALLOWED = {
    "testsuites": {"name", "tests", "failures", "errors", "time", "disabled"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "file"},
    "testcase": {"name", "classname", "time", "status", "file", "line", "assertions"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "system-out": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "system-out"},
}


def test_junit_keeps_to_the_schema() -> None:
    from xml.etree import ElementTree

    root = ElementTree.fromstring(FORMATS["junit"].render(report(*FINDINGS), to_file=True))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ALLOWED[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        if element.tag == "testcase":
            assert {"name", "classname"} <= set(element.attrib)
        if element.tag == "testsuite":
            assert int(element.get("tests")) == len(element)


def unescaped(text: str) -> str:
    """As GitHub's runner reads what follows a command."""
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_github_commands_are_read_back() -> None:
    lines = FORMATS["github"].render(report(*FINDINGS), to_file=True).split("\n")
    commands = [re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line) for line in lines[:3]]
    assert [command[1] for command in commands] == ["error", "warning", "error"]
    properties = dict(pair.split("=", 1) for pair in commands[0][2].split(","))
    assert unescaped(properties["file"]) == "a,b:c.yaml"
    assert properties["line"] == "3"
    # Line ends and percent signs come back; control characters are spelt out.
    assert unescaped(commands[0][3]) == SPELT_OUT
    assert lines[3:] == ["heading", ""]


def test_markdown_is_read_by_a_parser() -> None:
    text = FORMATS["markdown"].render(report(rows=2), to_file=True)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    cells = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 4
    assert not any(token.type.startswith("html") for token in tokens)
    shown = [child for token in tokens for child in token.children or ()]
    assert not any(child.type == "html_inline" for child in shown)


@pytest.mark.parametrize("rows", [2_000, 50_000])
def test_markdown_fits_a_comment(rows: int) -> None:
    text = FORMATS["markdown"].render(report(rows=rows), to_file=True)
    assert len(text) < 65_000
    kept = text.count("second line")
    assert 100 < kept < rows
    assert f"… and {rows - kept} lines more" in text
