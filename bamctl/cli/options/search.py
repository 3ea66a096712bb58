"""The options of `bamctl search`, group by group."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bamctl.cli.options.declare import flag, keywords, option
from bamctl.cli.options.settings import (
    ARGUMENTS,
    Option,
    SettingsOptions,
    arguments_option,
    choices_of,
    module_help,
    setting,
)
from bamctl.errors import InputError
from bamctl.placement.metrics import searchable
from bamctl.trunk import strategies

Running = "Execution"
Kept = "Study"

_SEARCHED = searchable().values()
_GOALS = ", ".join(metric.goal for metric in _SEARCHED)
_LIMITS = ", ".join(
    f"{metric.goal.replace('DEVICE', 'rtx3090')}={metric.example}" for metric in _SEARCHED
)


class SpaceOptions(SettingsOptions):
    """The choices of a search."""

    panel = "Search space"

    @classmethod
    def options(cls) -> Iterator[Option]:
        """Yield the points, the modules, the choices of every searched setting, and `init`."""
        from bamctl.attention.kinds import KINDS, fields

        for name, help_text in (
            (
                "candidates",
                f"{strategies.named()}, all, a module or a glob over the cut points; repeat for "
                "several. [block]",
            ),
            (
                "module",
                f"{module_help()}; at a site. Repeat for several. [{next(iter(KINDS))}]",
            ),
        ):
            yield name, Annotated[list[str] | None, option(help_text, cls.panel)], None
        searched = dict.fromkeys(name for kind in KINDS.values() for name in kind.searched)
        for name in searched:
            yield choices_of(name, fields()[name], cls.panel)
        yield arguments_option(cls.panel)
        yield setting("init", fields()["init"], cls.panel)
        text = "Choose hyperparameters per site instead of once for all."
        yield "per_site", Annotated[bool, flag("--per-site", text, cls.panel)], False

    def given(self) -> dict[str, Any]:
        """Return the options that were passed, by their names in a configuration.

        Raises:
            InputError: arguments of a module were passed, and not one module that takes them.
        """
        from bamctl.attention.kinds import KINDS, check_name

        given = {name: value for name, value in super().given().items() if value}
        if texts := given.pop(ARGUMENTS, None):
            taking = [name for name in given.get("module", []) if name not in KINDS]
            if len(taking) != 1:
                raise InputError(
                    "--module-arg requires one --module of timm or of your own, of which there "
                    f"are {len(taking)}"
                )
            own = keywords(texts, "--module-arg", "rd_ratio=0.125")
            given["args"] = {check_name(taking[0]): own}
        return given


@dataclass(frozen=True)
class GoalOptions:
    """The goal of a search, and its length."""

    budget: Annotated[
        list[str] | None,
        option(
            f"Upper limit of a cost: {_LIMITS}, or +2% of any. Candidates over it are never "
            "trained. Repeat for several.",
            metavar="FIGURE=LIMIT",
        ),
    ] = None
    objective: Annotated[
        list[str] | None,
        option(
            f"Cost to minimize besides maximizing accuracy: {_GOALS}. Repeat for several. [params]"
        ),
    ] = None
    trials: Annotated[int | None, option("Number of candidates to train. [24]", min=1)] = None
    exhaustive: Annotated[
        bool, flag("--exhaustive", "Train every candidate within the budgets.")
    ] = False
    sampler: Annotated[
        Literal["nsga2", "tpe", "random"] | None, option("Sampler of the candidates. [tpe]")
    ] = None
    seed: Annotated[int | None, option("Seed of the sampler. [0]", min=0)] = None
    seeds: Annotated[
        int | None,
        option("Runs of each candidate in its trial, paired with the baseline's. [2]", min=1),
    ] = None
    max_steps: Annotated[
        int | None,
        option(
            "Steps of all runs that choose, together. What the trials leave is raced with: further "
            "seeds for the candidates that are not ruled out. [40 times --steps]",
            min=1,
        ),
    ] = None
    halving: Annotated[
        int | None,
        option(
            "Successive halving with this reduction factor, over three rungs. [off]",
            min=2,
        ),
    ] = None
    max_minutes: Annotated[
        float | None,
        option("Or minutes, after which no trial and no round of the race is begun. [no limit]"),
    ] = None
    confirm_seeds: Annotated[
        int | None, option("Fresh seeds to confirm the front with. [5]", min=0)
    ] = None
    confirm_start: Annotated[
        Literal["scratch"] | None,
        option("Judge the front from scratch, though it was found from trunks."),
    ] = None
    dry_run: Annotated[
        bool, flag("--dry-run", "Show the number of candidates and their costs, and train none.")
    ] = False


@dataclass(frozen=True)
class EngineOptions:
    """The engine of a search."""

    engine: Annotated[
        Literal["local", "ray"],
        option("Processes on this machine, or a Ray cluster. [local]", Running),
    ] = "local"
    workers: Annotated[
        int | None,
        option("Parallel trials. [one per core, or as many as fit in the cluster]", Running, min=1),
    ] = None
    address: Annotated[
        str | None, option("Address of the Ray cluster: auto or HOST:PORT. [auto]", Running)
    ] = None
    device: Annotated[
        Literal["auto", "cpu"] | None,
        option("Device: an accelerator if there is one, or the CPU. [auto]", Running),
    ] = None
    cpus_per_trial: Annotated[int, typer.Option(help="Threads per trial.", min=1)] = 1
    gpus_per_trial: Annotated[
        float | None, option("With Ray: GPUs per trial, such as 0.5. [0]", Running, min=0)
    ] = None


@dataclass(frozen=True)
class StudyOptions:
    """The storage of the study, and the folder to resume."""

    storage: Annotated[
        str | None,
        option(
            "Optuna storage URL; several drivers may share it. [SQLite in the run folder]",
            Kept,
            metavar="URL",
        ),
    ] = None
    study: Annotated[str | None, option("Name of the study in the storage. [bamctl]", Kept)] = None
    resume: Annotated[
        Path | None, option("Resume from a folder; --trials may grow.", Kept, metavar="FOLDER")
    ] = None
    out: Annotated[
        Path | None,
        option("Folder of the search. [runs/MODEL-search-TIME]", Kept, metavar="FOLDER"),
    ] = None
