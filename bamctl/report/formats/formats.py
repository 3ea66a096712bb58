"""The output formats: `FORMATS`, one entry for each; nothing is imported until it renders."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bamctl.report.document import Report


@dataclass(frozen=True)
class Format:
    """An output format.

    Args:
        module: the module of its function `render(report, *, to_file)`, which returns text.
        of_findings: whether it shows only the findings of a check.
    """

    module: str
    of_findings: bool = False

    def render(self, report: "Report", *, to_file: bool) -> str:
        """Return a report as text.

        Args:
            report: the report.
            to_file: whether the output is a file, which has no width and no colours.
        """
        text: str = import_module(self.module).render(report, to_file=to_file)
        return text


FORMATS: dict[str, Format] = {
    "table": Format("bamctl.report.formats.terminal"),
    "json": Format("bamctl.report.formats.json"),
    "markdown": Format("bamctl.report.formats.markdown"),
    "csv": Format("bamctl.report.formats.csv"),
    "html": Format("bamctl.report.formats.html"),
    "junit": Format("bamctl.report.formats.junit", of_findings=True),
    "gitlab": Format("bamctl.report.formats.gitlab", of_findings=True),
    "github": Format("bamctl.report.formats.github", of_findings=True),
}
