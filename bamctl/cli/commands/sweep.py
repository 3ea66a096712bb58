"""`bamctl analyze --all`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bamctl.cli.messages import say
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.project import no_model
from bamctl.errors import InputError

if TYPE_CHECKING:
    from bamctl.placement.placement import Placement

Panel = "Many networks"


@dataclass(frozen=True)
class SweepOptions:
    """The networks of a sweep, and the number of processes."""

    all: Annotated[bool, flag("--all", "Analyse torchvision's builders, a row each.", Panel)] = (
        False
    )
    family: Annotated[
        Literal[
            "classification",
            "quantization",
            "segmentation",
            "detection",
            "video",
            "optical_flow",
            "all",
        ]
        | None,
        option("With --all: which builders. [classification]", Panel),
    ] = None
    jobs: Annotated[
        int | None, option("With --all: processes at a time. [one for each core]", Panel, min=1)
    ] = None

    def refuse_with(self, option_name: str) -> None:
        """Raise if many networks are asked for beside an option of one.

        Raises:
            InputError: they are.
        """
        if self.all:
            raise InputError(f"{option_name} cannot be combined with --all")

    def check(self, model: str, others: Mapping[str, bool]) -> None:
        """Raise for incompatible options.

        Raises:
            InputError: options of one network are combined with those of many, or neither is named.
        """
        if not self.all:
            for name, value in (("--family", self.family), ("--jobs", self.jobs)):
                if value is not None:
                    raise InputError(f"{name} requires --all")
            if not model:
                raise InputError(no_model("analyze", "give --all"))
            return
        if model:
            raise InputError(f"--all analyses every network; leave out {model!r}, or --all")
        for name, given in others.items():
            if given:
                raise InputError(f"{name} cannot be combined with --all")

    def names(self) -> tuple[str, ...]:
        """Return the selected builders."""
        from bamctl.networks.torchvision_models import families

        family = self.family or "classification"
        return tuple(name for name, own in families().items() if family in (own, "all"))


def sweep(many: SweepOptions, wanted: "Placement", out: OutputOptions) -> int:
    """Analyse many networks and show a row each; as CSV, each as soon as it is known."""
    from bamctl.cli.progress import bar

    names = many.names()
    streams = out.format == "csv" and out.output is None
    results: list[Any] = []
    with bar(f"{len(names)} networks", len(names)) as advance:
        from bamctl.analysis.sweep import sweep as swept
        from bamctl.processes.allocator import give_back_at_once
        from bamctl.report.formats import csv
        from bamctl.report.views.sweep import record, sweep_report

        give_back_at_once()
        for result in swept(names, wanted, many.jobs):
            results.append(result)
            if streams:
                row = csv.rows([record(result)], header=len(results) == 1)
                print(row, end="", flush=True)
            advance()
    if not streams:
        out.show(sweep_report(results, wanted.attention))
    return _told(results)


def _told(results: Sequence[Any]) -> int:
    """Print the networks that failed, and return the exit code: 3 if any did."""
    failed = [result for result in results if hasattr(result, "reason")]
    for result in failed:
        say(f"{result.model}: {result.reason}")
    return 3 if failed else 0
