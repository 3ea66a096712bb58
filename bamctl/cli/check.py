"""`bamctl check`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bamctl.cli.options import (
    ModuleOptions,
    NetworkOptions,
    Where,
    check_destination,
    given_names,
    given_placement,
    option,
    say,
    show,
    working,
)
from bamctl.cli.trust import Trust, allow_named
from bamctl.errors import InputError
from bamctl.files import check_can_write

if TYPE_CHECKING:
    from bamctl.check import Checked
    from bamctl.placement import Placement
    from bamctl.report.document import Report
    from bamctl.targets import Found, Unchecked

DEFAULT = "placements"
Panel = "Limits, for a check without a file"


@dataclass(frozen=True)
class LimitOptions:
    """What the modified network may cost, as in a budget."""

    max_params: Annotated[str | None, option("Such as '26 M' or '+2 %'.", Panel)] = None
    max_macs: Annotated[str | None, option("Such as '4.2 GMACs' or '+2 %'.", Panel)] = None
    max_memory: Annotated[str | None, option("Such as '110 MB' or '+2 %'.", Panel)] = None
    max_weights_file: Annotated[str | None, option("Such as '110 MB' or '+2 %'.", Panel)] = None
    max_latency: Annotated[
        str | None, option("Such as '3 ms' or '+5 %', on this CPU, batch 1.", Panel)
    ] = None

    def given(self) -> dict[str, str]:
        """The limits that were given, as a budget names them."""
        limits = ((name.removeprefix("max_"), value) for name, value in asdict(self).items())
        return {name: value for name, value in limits if value is not None}


@dataclass(frozen=True)
class BaselineOptions:
    """The file of accepted figures, to compare with or to write."""

    baseline: Annotated[
        Path | None, option("Fail where a figure grew beyond this file.", metavar="FILE")
    ] = None
    save_baseline: Annotated[
        Path | None, option("Write the figures of today to this file.", metavar="FILE")
    ] = None
    tolerance: Annotated[
        str | None, option("How much a figure may grow beyond the baseline being saved. [+0 %]")
    ] = None


@dataclass(frozen=True)
class CheckOutputOptions:
    """How the result is shown, and where."""

    format: Annotated[
        Literal["table", "json", "markdown", "csv", "html", "junit", "github"],
        typer.Option(help="How the result is shown."),
    ] = "table"
    output: Annotated[
        Path | None, option("Write the result to a file instead of the screen.", metavar="FILE")
    ] = None


def check(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER|MODEL]...",
            help="Placement files and folders, or one model. [placements/]",
            show_default=False,
        ),
    ] = None,
    *,
    model: Annotated[
        str | None, option("The model of placements that name none.", metavar="MODEL")
    ] = None,
    where: Where = None,
    limits: LimitOptions,
    why: Annotated[
        bool,
        typer.Option("--why", help="Say what spends the budget, and what would meet it."),
    ] = False,
    trust: Trust = None,
    against: BaselineOptions,
    init: Annotated[
        bool,
        typer.Option("--init", help="Write a placement with a budget for MODEL."),
    ] = False,
    attention: ModuleOptions,
    network: NetworkOptions,
    shown: CheckOutputOptions,
) -> int:
    """Hold placements to their budgets; exit 1 where one is exceeded."""
    from bamctl.targets import Found, Target, Unchecked

    _refuse_together(init, why, limits, against)
    if not init:
        check_destination(shown.format, shown.output)
    name = _model_name(targets or [], model)
    allow_named(name or model, trust)
    if init:
        if name is None:
            raise InputError("name a model, as in `bamctl check --init resnet50`")
        return _init(given_placement(network, attention, where, model=name), shown.output)
    if name is not None:
        if not limits.given():
            raise InputError(f"no limit for {name}; give one, as in --max-params '+2 %'")
        wanted = given_placement(network, attention, where, model=name, budget=limits.given())
        found = Found((Target(wanted),), (), ())
    else:
        _refuse_for_files(where, limits, attention, network)
        found = _from_files(targets or [], model)
    if against.save_baseline is not None:
        return _save_baseline(found, against.save_baseline, against.tolerance)
    results = _results(found, against.baseline, why)
    broken = [result for result in results if isinstance(result, Unchecked)]
    for each in broken:
        say(f"error: {each.reason}")
    # Of files that are all broken, a person has seen all there is to say.
    silent = len(broken) == len(results) and shown.format == "table" and shown.output is None
    if not silent or _summary_page():
        from bamctl.report.check_view import check_report

        report = check_report(results, found.without_budget, why=why)
        if not silent:
            show(report, shown.format, shown.output)
        _summarize(report)
    return max(result.exit_code for result in results)


def _refuse_together(init: bool, why: bool, limits: LimitOptions, against: BaselineOptions) -> None:
    """Options that would be ignored beside others are a mistake."""
    if against.tolerance is not None and against.save_baseline is None:
        raise InputError("--tolerance is saved with a baseline; it goes with --save-baseline")
    if against.baseline is not None and against.save_baseline is not None:
        raise InputError("--baseline compares and --save-baseline writes; give one of them")
    if init and (limits.given() or against.baseline or against.save_baseline):
        raise InputError("--init writes a placement with its own budget; drop limits and baselines")
    if init and why:
        raise InputError("--why is for a check, and --init makes none; drop one of them")


def _is_path(target: str) -> bool:
    """Whether a target is a file or a folder; what bears the name of a model is the model."""
    from bamctl import models

    if target in models.names():
        return False
    return Path(target).exists() or Path(target).suffix in (".yaml", ".yml") or os.sep in target


def _model_name(targets: Sequence[str], model: str | None) -> str | None:
    """The model of a check without a file: the one target that is no path, or `--model` alone."""
    from bamctl.models import check_name

    named = [target for target in targets if not _is_path(target)]
    if len(named) > 1 or (named and (model or len(targets) > 1)):
        raise InputError(f"one model at a time, without files; got {', '.join(targets)}")
    # With files, `--model` is for those that name none.
    name = named[0] if named else (None if targets else model)
    try:
        return check_name(name) if name is not None else None
    except InputError as error:
        if not named:
            raise
        raise InputError(f"no file or folder {name!r}, and {error}") from error


def _refuse_for_files(where: list[str] | None, *groups: Any) -> None:
    given = ["where"] if where else given_names(*groups)
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise InputError(f"{option} goes with a MODEL; write it into the placement file instead")


def _from_files(targets: Sequence[str], model: str | None) -> "Found":
    from dataclasses import replace

    from bamctl.targets import Target, find_targets

    if not targets and not Path(DEFAULT).is_dir():
        raise InputError(
            f"no folder {DEFAULT} here; name files, or run `bamctl check --init MODEL`"
        )
    found = find_targets(Path(target) for target in targets or [DEFAULT])
    if model is None:
        return found

    def named(target: Target) -> Target:
        own = target.placement.model or model
        return replace(target, placement=target.placement.model_copy(update={"model": own}))

    return replace(found, targets=tuple(map(named, found.targets)))


def _save_baseline(found: "Found", path: Path, tolerance: str | None) -> int:
    check_can_write(path)
    for broken in found.unreadable:
        raise InputError(broken.reason)
    with working(f"measuring {len(found.targets)} placements"):
        from bamctl import baseline
        from bamctl.check import figures

        tolerance = baseline.check_tolerance(tolerance or "+0 %")
        baseline.save(path, figures(found.targets), tolerance)
    say(f"wrote {path}; commit it, and compare with --baseline {path}")
    return 0


def _results(
    found: "Found", baseline_path: Path | None, why: bool
) -> "Sequence[Checked | Unchecked]":
    if not found.targets:
        return found.unreadable
    with working(f"checking {len(found.targets)} placements"):
        from bamctl import baseline
        from bamctl.check import check

        accepted = baseline.load(baseline_path) if baseline_path else None
        results = check(found.targets, baseline=accepted, why=why)
        return sorted([*results, *found.unreadable], key=attrgetter("name"))


def _summary_page() -> str | None:
    """Where GitHub Actions wants the job's summary, when it runs us."""
    there = os.environ.get("GITHUB_ACTIONS") == "true"
    return os.environ.get("GITHUB_STEP_SUMMARY") if there else None


def _summarize(report: "Report") -> None:
    path = _summary_page()
    if not path:
        return
    from bamctl.report import RENDERERS

    text = RENDERERS["markdown"](report, to_file=True)
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text)
    except OSError as error:
        # The verdict of the check stands, whatever becomes of its page.
        say(f"warning: no summary at {path}: {error.strerror}")


def _init(placement: "Placement", output: Path | None) -> int:
    name = str(placement.model)
    path = output or Path(DEFAULT, f"{name.replace(':', '.')}.yaml")
    if path.exists():
        raise InputError(f"{path} is there already; delete it, or name another with --output")
    if output is None and not path.parent.exists():
        check_can_write(path.parent)
    else:
        check_can_write(path)
    with working(f"tracing {name}"):
        from bamctl.figures import load_subject, price
        from bamctl.files import write_text
        from bamctl.starter import CI_STEP, starter

        text = starter(price(load_subject(placement), placement))
        path.parent.mkdir(exist_ok=True)
        write_text(path, text, is_new=True)
    say(f"wrote {path}; `bamctl check` holds it to its budget; in CI:")
    sys.stdout.write(CI_STEP)
    return 0
