"""The options of `bamctl check`, group by group."""

from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from bamctl.cli.options.declare import flag, option
from bamctl.errors import InputError, did_you_mean
from bamctl.placement.metrics import METRICS, Metric
from bamctl.report.formats.formats import FORMATS

Panel = "Limits, for a check without a file"


def _limit_option(metric: Metric) -> Any:
    on_device = ", on this CPU, batch 1" if metric.needs_device else ""
    return option(f"Such as {metric.example!r} or '+2 %'{on_device}.", Panel)


_Limits: Any = make_dataclass(
    "_Limits",
    [
        (f"max_{name}", Annotated[str | None, _limit_option(metric)], None)
        for name, metric in METRICS.items()
    ],
    frozen=True,
)


class LimitOptions(_Limits):  # type: ignore[misc]  # an option for each of METRICS
    """Limits of the modified network, as in a budget."""

    def given(self) -> dict[str, str]:
        """Return the limits that were passed, by their names in a budget."""
        limits = ((name.removeprefix("max_"), value) for name, value in asdict(self).items())
        return {name: value for name, value in limits if value is not None}


@dataclass(frozen=True)
class BaselineOptions:
    """The file of accepted figures, to compare with or to write."""

    baseline: Annotated[
        Path | None, option("Fail where a figure grew beyond this file.", metavar="FILE")
    ] = None
    save_baseline: Annotated[
        Path | None, option("Write the current figures to this file.", metavar="FILE")
    ] = None
    tolerance: Annotated[
        str | None, option("How much a figure may grow beyond the baseline being saved. [+0 %]")
    ] = None


@dataclass(frozen=True)
class RevisionOptions:
    """The revision to compare with, and the file of figures over time."""

    against: Annotated[
        str | None,
        option(
            "Compare with the commit at which the current state left this branch, tag or commit; "
            "auto finds it in a pipeline of a pull or merge request.",
            metavar="REF",
        ),
    ] = None
    strict: Annotated[
        bool,
        flag(
            "--strict",
            "Fail if an estimate cannot tell, or with --against something cannot be compared.",
        ),
    ] = False
    record: Annotated[
        Path | None,
        option("Append a line for each placement, with its figures, to this file.", metavar="FILE"),
    ] = None


@dataclass(frozen=True)
class CheckOutputOptions:
    """The formats of the result, and their files."""

    format: Annotated[
        list[str] | None,
        option(
            f"How the result is shown: {', '.join(FORMATS)}; with =FILE, written there. Repeat for "
            "several. [table]",
            metavar="FORMAT[=FILE]",
        ),
    ] = None
    output: Annotated[
        Path | None,
        option("Write the format without a file to a file instead of the screen.", metavar="FILE"),
    ] = None

    def destinations(self) -> list[tuple[str, Path | None]]:
        """Return the formats with their files; at most one is for the screen, without a file.

        Raises:
            InputError: there is no such format, or two are for the screen or for one file.
        """
        found = [self._destination(text) for text in self.format or ["table"]]
        files = [None if file is None else file.resolve() for _, file in found]
        for file in files:
            if files.count(file) > 1:
                where = "the screen; write one to a file, as in junit=check.xml"
                raise InputError(f"two formats are for {where if file is None else file}")
        if self.output is not None and all("=" in text for text in self.format or ["table"]):
            raise InputError("every format has a file; drop --output")
        return found

    def _destination(self, text: str) -> tuple[str, Path | None]:
        name, equals, file = text.partition("=")
        if name not in FORMATS:
            near = did_you_mean(name, FORMATS) or f"; the formats are {', '.join(FORMATS)}"
            raise InputError(f"--format: no format {name!r}{near}")
        if equals and not file:
            raise InputError(f"--format {text}: name the file, as in {name}=check.txt")
        return name, Path(file) if equals else self.output
