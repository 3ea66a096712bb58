"""Findings as GitHub Actions' workflow commands, which annotate the lines of a pull request."""

from bamctl.report.document import Finding, Report
from bamctl.text import escapes

_COMMANDS = {"failed": "error", "error": "error", "warning": "warning"}


def render(report: Report, *, to_file: bool) -> str:
    """Render a command for each finding that did not pass, then a line for the log.

    Source: "Workflow commands for GitHub Actions", setting an error message.
    """
    commands = [_command(finding) for finding in report.findings if finding.verdict != "passed"]
    return "\n".join([*commands, escapes.line(report.heading)]) + "\n"


def _command(finding: Finding) -> str:
    properties = {"file": finding.file, "line": finding.line, "title": finding.title}
    given = ",".join(
        f"{key}={escapes.github_property(str(value))}" for key, value in properties.items() if value
    )
    return f"::{_COMMANDS[finding.verdict]} {given}::{escapes.github_data(finding.message)}"
