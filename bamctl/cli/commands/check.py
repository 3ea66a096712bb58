"""`bamctl check`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bamctl.cli.messages import say, working
from bamctl.cli.options.check import (
    BaselineOptions,
    CheckOutputOptions,
    LimitOptions,
    RevisionOptions,
)
from bamctl.cli.options.declare import option
from bamctl.cli.options.output import check_destination, show
from bamctl.cli.options.project import TABLE, defaults_of_project, no_model, of_project
from bamctl.cli.options.settings import ModuleOptions
from bamctl.cli.options.shared import NetworkOptions, Where, given_names, given_placement
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_write
from bamctl.report.formats.formats import FORMATS

if TYPE_CHECKING:
    from bamctl.budgets.results import CheckResult
    from bamctl.networks.spec import NetworkSpec
    from bamctl.placement.placement import Placement
    from bamctl.report.document import Report

DEFAULT = "placements"


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
        typer.Option("--why", help="Show what uses up the budget, and a change that meets it."),
    ] = False,
    trust: Trust = None,
    against: BaselineOptions,
    revision: RevisionOptions,
    init: Annotated[
        bool,
        typer.Option("--init", help="Write a placement with a budget for MODEL."),
    ] = False,
    attention: ModuleOptions,
    network: NetworkOptions,
    shown: CheckOutputOptions,
) -> int:
    """Hold placements to their budgets; exit 1 where one is exceeded."""
    _refuse_together(init, why, limits, against)
    destinations = shown.destinations()
    if not init:
        for format_name, file in destinations:
            check_destination(format_name, file)
    name = _model_name(targets or [], model)
    allow_named(name or model, trust)
    default = model or defaults_of_project()
    if name is None and not targets and (init or limits.given()):
        name, network, where = of_project("", network, where)
    if init:
        if not name:
            raise InputError(no_model("check --init"))
        return _init(given_placement(network, attention, where, model=name), shown.output)
    what: list[str | Path | Placement]
    if name:
        if not limits.given():
            raise InputError(f"no limit for {name}; give one, as in --max-params '+2 %'")
        what = [given_placement(network, attention, where, model=name, budget=limits.given())]
    else:
        _refuse_for_files(where, limits, attention, network)
        what = [*_files(targets or [])]
    if against.save_baseline is not None:
        return _save_baseline(what, default, against.save_baseline, against.tolerance)
    with working("checking placements"):
        from bamctl.budgets.check import check as run

        found = run(
            what,
            model=default,
            baseline=against.baseline,
            against=revision.against,
            strict=revision.strict,
            record=revision.record,
            why=why,
        )
    return _shown(found, destinations)


def _shown(found: "CheckResult", destinations: Sequence[tuple[str, Path | None]]) -> int:
    from bamctl.budgets.targets import Unchecked

    broken = [result for result in found.results if isinstance(result, Unchecked)]
    for each in broken:
        say(f"error: {each.reason}")
    if (comparison := found.comparison) is not None:
        for problem in comparison.problems:
            say(f"warning: not compared with {comparison.ref}: {problem}")
    # If no file could be read, the errors above are the whole result.
    is_whole = len(broken) == len(found.results)
    shown = [each for each in destinations if not (is_whole and each == ("table", None))]
    if shown or _summary_page():
        from bamctl.report.views.check import check_report

        report = check_report(
            found.results,
            found.without_budget,
            why=found.why,
            comparison=found.comparison,
            history=found.history,
        )
        for format_name, file in shown:
            show(report, format_name, file)
        _summarize(report)
    return found.exit_code


def _refuse_together(init: bool, why: bool, limits: LimitOptions, against: BaselineOptions) -> None:
    """Raise for options that others would make ineffective."""
    if against.tolerance is not None and against.save_baseline is None:
        raise InputError("--tolerance requires --save-baseline")
    if against.baseline is not None and against.save_baseline is not None:
        raise InputError("--baseline and --save-baseline are mutually exclusive")
    if init and (limits.given() or against.baseline or against.save_baseline):
        raise InputError("--init writes a placement with its own budget; drop limits and baselines")
    if init and why:
        raise InputError("--why needs a check, and --init runs none; drop one of them")


def _is_path(target: str) -> bool:
    """Return whether a target is a file or a folder; the name of a model is the model."""
    from bamctl.networks import models

    if target in models.names():
        return False
    return Path(target).exists() or Path(target).suffix in (".yaml", ".yml") or os.sep in target


def _model_name(targets: Sequence[str], model: str | None) -> str | None:
    """Return the model of a check without a file: the one target that is no path, or `--model`."""
    from bamctl.networks.models import check_name

    named = [target for target in targets if not _is_path(target)]
    if len(named) > 1 or (named and (model or len(targets) > 1)):
        raise InputError(f"one model at a time, without files; got {', '.join(targets)}")
    # With files, `--model` applies to those that name no model.
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
        raise InputError(
            f"{option} requires a MODEL, or `model` under {TABLE}; for files, write it into the "
            "placement file"
        )


def _files(targets: Sequence[str]) -> Sequence[str]:
    if not targets and not Path(DEFAULT).is_dir():
        raise InputError(
            f"no folder {DEFAULT} here; name files, or run `bamctl check --init MODEL`"
        )
    return targets or [DEFAULT]


def _save_baseline(
    what: Sequence[Any], network: "str | NetworkSpec | None", path: Path, tolerance: str | None
) -> int:
    from bamctl.budgets.targets import Target, find_targets
    from bamctl.placement.placement import Placement

    check_can_write(path)
    given = [Target(each) for each in what if isinstance(each, Placement)]
    found = find_targets([Path(each) for each in what if isinstance(each, str)], network)
    for broken in found.unreadable:
        raise InputError(broken.reason)
    targets = [*given, *found.targets]
    with working(f"measuring {len(targets)} placements"):
        from bamctl.budgets import baseline
        from bamctl.budgets.check import figures

        tolerance = baseline.check_tolerance(tolerance or "+0 %")
        baseline.save(path, figures(targets), tolerance)
    say(f"wrote {path}; commit it, and compare with --baseline {path}")
    return 0


def _summary_page() -> str | None:
    """Return the path of the job summary when running under GitHub Actions, else None."""
    there = os.environ.get("GITHUB_ACTIONS") == "true"
    return os.environ.get("GITHUB_STEP_SUMMARY") if there else None


def _summarize(report: "Report") -> None:
    path = _summary_page()
    if not path:
        return
    text = FORMATS["markdown"].render(report, to_file=True)
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text)
    except OSError as error:
        # A summary that cannot be written must not change the exit code.
        say(f"warning: cannot write the summary {path}: {error.strerror}")


def _init(placement: "Placement", output: Path | None) -> int:
    name = str(placement.model)
    path = output or Path(DEFAULT, f"{name.replace(':', '.')}.yaml")
    if path.exists():
        raise InputError(f"{path} already exists; delete it, or choose another name with --output")
    if output is None and not path.parent.exists():
        check_can_write(path.parent)
    else:
        check_can_write(path)
    with working(f"tracing {name}"):
        from bamctl.budgets.figures import price
        from bamctl.budgets.starter import CI_STEP, starter
        from bamctl.files.atomic import write_text
        from bamctl.trunk.traced import TracedNetwork

        text = starter(price(TracedNetwork.load(placement), placement))
        path.parent.mkdir(exist_ok=True)
        write_text(path, text, is_new=True)
    say(f"wrote {path}; `bamctl check` checks it against its budget; in CI:")
    sys.stdout.write(CI_STEP)
    return 0
