"""Findings as GitLab's code-quality report, which a merge request shows beside its changes."""

import hashlib
import json

from bamctl.report.document import Finding, Report
from bamctl.text import escapes

_SEVERITIES = {"failed": "major", "error": "critical", "warning": "minor"}


def render(report: Report, *, to_file: bool) -> str:
    """Render the findings that did not pass as JSON, an empty list if there are none.

    Source: GitLab's documentation of code quality, "Implement a custom tool".
    """
    found = [_issue(finding) for finding in report.findings if finding.verdict != "passed"]
    return escapes.json(json.dumps(found, indent=2)) + "\n"


def _issue(finding: Finding) -> dict[str, object]:
    # Equal for the same limit in every run, so that GitLab tells new ones from old ones.
    identity = "\0".join((finding.subject, finding.title, finding.verdict))
    return {
        "description": escapes.line(finding.message),
        "check_name": f"bamctl: {escapes.line(finding.title)}",
        "fingerprint": hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest(),
        "severity": _SEVERITIES[finding.verdict],
        "location": {"path": finding.file or "placements", "lines": {"begin": finding.line or 1}},
    }
