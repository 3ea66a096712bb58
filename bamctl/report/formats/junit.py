"""Findings as a JUnit file, which CI servers show as tests: one suite for each placement."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from bamctl.report.document import Finding, Report
from bamctl.text import escapes

# Characters that XML 1.0 cannot contain, even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {"failed": "failure", "error": "error", "warning": "system-out"}


def render(report: Report, *, to_file: bool) -> str:
    """Render the findings as XML, without times, so that the output is reproducible."""
    root = ElementTree.Element("testsuites", _counts(report.findings), name="bamctl check")
    for subject, findings in groupby(report.findings, key=lambda finding: finding.subject):
        _suite(root, subject, list(findings))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(root: ElementTree.Element, subject: str, findings: list[Finding]) -> None:
    name = _clean(subject)
    suite = ElementTree.SubElement(root, "testsuite", _counts(findings), name=name)
    for finding in findings:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=_clean(finding.title))
        if finding.verdict == "passed":
            continue
        outcome = ElementTree.SubElement(case, _ELEMENTS[finding.verdict])
        outcome.text = _clean(finding.message)
        if finding.verdict != "warning":
            outcome.set("message", _clean(finding.message))
            outcome.set("type", "budget" if finding.verdict == "failed" else "unmeasured")


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    verdicts = Counter(finding.verdict for finding in findings)
    total = sum(verdicts.values())
    counts = {"tests": total, "failures": verdicts["failed"], "errors": verdicts["error"]}
    return {name: str(number) for name, number in counts.items()}


def _clean(text: str) -> str:
    return escapes.terminal(_FORBIDDEN.sub("\ufffd", text))
