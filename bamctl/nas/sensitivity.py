"""Sensitivity: the gain of each site of a placement alone, and of all but each."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamctl.attention.settings import Settings
from bamctl.engines.engine import Engine, LocalEngine, outcomes
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.nas.jobs import Job
from bamctl.nas.objective import Objective
from bamctl.networks import models
from bamctl.networks.inputs import InputsLike
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import Placement, Stages
from bamctl.placement.requested import trust_named
from bamctl.placement.sites import Site, resolve
from bamctl.training import plan as plans
from bamctl.training.arms import BASELINE, check_answers
from bamctl.training.config import TrainingConfig
from bamctl.training.evidence import Evidence, compare
from bamctl.training.measure import Measure
from bamctl.training.result import resolution
from bamctl.training.shared_trunks import SharedTrunks
from bamctl.training.start import Start, check_start
from bamctl.trunk.strategies import DEFAULT_STRATEGY
from bamctl.trunk.traced import TracedNetwork

ALL = "all sites"


@dataclass(frozen=True)
class SiteSensitivity:
    """The gain of one site: alone against the baseline, and added to all others."""

    site: Site
    alone: Evidence
    added_last: Evidence


@dataclass(frozen=True)
class Sensitivity:
    """A placement taken apart; `values` are the measure by arm, one for each seed.

    The verdicts hold simultaneously at 95 % confidence.
    """

    values: dict[str, tuple[float, ...]]
    together: Evidence
    sites: tuple[SiteSensitivity, ...]


def sensitivity(
    model: str,
    *,
    where: str | Sequence[str] = DEFAULT_STRATEGY,
    attention: Settings | Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    input_shape: InputsLike | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    task: str | None = None,
    data: str | Mapping[str, Any] | None = None,
    loop: str | Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    steps: int = 50,
    seeds: int = 3,
    start: Start | None = None,
    trunk_steps: int | None = None,
    workers: int | None = None,
) -> tuple[TrainingConfig, Sensitivity]:
    """Find which sites of a placement carry its gain, by short training runs.

    Args:
        model: a torchvision builder, `timm:NAME` or `package.module:factory`.
        where: the full placement: strategies, modules or globs.
        attention: module and hyperparameters.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        input_shape: channels, height and width; that of the data if left out.
        num_classes: classes of the head; those of the data if left out.
        stem: `small` for images of about 32x32, for a builder.
        args: more keyword arguments for the builder or factory.
        task: what is trained, as for `bamctl.train`.
        data: a data set by name or `folder:PATH`, or the keys of a `DataConfig`; that of the task
            if left out.
        loop: a training loop of your own, as for `bamctl.train`.
        weights: published weights by name, or a file, which the networks start from.
        steps: optimizer steps of a run.
        seeds: runs of each network.
        start: where the networks start, as for `bamctl.train`; `trunk` if left out, and with a loop
            of your own `weights` where they are given, and `scratch` elsewhere.
        trunk_steps: with `trunk`, the steps of the trunk; half of all if left out.
        workers: runs at a time; one for each core if left out.

    Returns:
        The configuration of the training, and the result.

    Raises:
        InputError: an argument is invalid, or the network does not answer as its task needs it.
    """
    trust_named(attention, where)
    own = plans.named_code(model, task, loop)
    if start is None and own is None:
        start = "trunk"
    start = check_start(start, trunk_steps=trunk_steps, weights=weights)
    network = {"input": input_shape, "num_classes": num_classes, "stem": stem, "args": args}
    given = {name: value for name, value in network.items() if value is not None}
    training, images = plans.configure(
        schemas.from_options(NetworkSpec, {"model": models.check_name(model), **given}),
        data={"name": data} if isinstance(data, str) else data or {},
        recipe={},
        task=task,
        loop=own,
        weights=None if weights is None else str(weights),
        steps=steps,
        seeds=list(range(seeds)),
        start=start,
        trunk_steps=trunk_steps,
    )
    traced = TracedNetwork.load(training)
    check_answers(training, traced.trace)
    wanted = {"where": where, "attention": attention, "stages": stages}
    placement = Placement().with_options(wanted)
    if start != "scratch":
        placement = placement.with_options({"attention": {"init": "identity"}})
    sites = resolve(placement, traced.trunk)
    engine = LocalEngine(Objective(training, images), workers or os.cpu_count() or 1)
    try:
        with tempfile.TemporaryDirectory(prefix="bamctl-") as folder:
            found = take_apart(
                sites,
                steps=training.recipe.steps,
                seeds=training.seeds,
                measure=training.measure,
                step_of_values=resolution(training, images),
                engine=engine,
                trunks=SharedTrunks(training, Path(folder), engine, _nobody),
            )
    finally:
        engine.close()
    return training, found


def _nobody(text: str) -> None:
    """Ignore messages about files of an earlier run, of which there is none."""


def take_apart(
    sites: Sequence[Site],
    *,
    steps: int,
    seeds: Sequence[int],
    measure: Measure,
    step_of_values: float,
    engine: Engine,
    trunks: SharedTrunks,
) -> Sensitivity:
    """Train without sites, with each alone, all but each, and all, seed by seed.

    Args:
        sites: of the full placement; two or more.
        steps: the length of each run.
        seeds: one run per network and seed.
        measure: what the scores are of.
        step_of_values: the smallest difference of two of them.
        engine: runs the jobs.
        trunks: those from which the networks part.

    Raises:
        InputError: there are fewer than two sites.
        BamctlError: a network cannot be trained.
    """
    if len(sites) < 2:
        raise InputError(f"{len(sites)} site cannot be taken apart; name two or more with --where")
    scores = _trained(_arms(sites), steps, seeds, engine, trunks)
    values = {name: tuple(map(measure.goodness, own)) for name, own in scores.items()}
    pairs = {ALL: (values[BASELINE], values[ALL])}
    for site in sites:
        name = site.name
        pairs[_only(name)] = (values[BASELINE], values[_only(name)])
        # With two sites, leaving one out is the other one alone.
        pairs[_without(name)] = (values[_without(name)], values[ALL])
    found = compare(pairs, resolution=step_of_values, lower_is_better=measure.lower_is_better)
    names = [site.name for site in sites]
    return Sensitivity(
        values=values,
        together=found[ALL],
        sites=tuple(
            SiteSensitivity(site, found[_only(name)], found[_without(name)])
            for site, name in zip(sites, names, strict=True)
        ),
    )


def _arms(sites: Sequence[Site]) -> dict[str, tuple[Site, ...]]:
    """Return the sites of each network, by the name of its arm."""
    arms: dict[str, tuple[Site, ...]] = {BASELINE: (), ALL: tuple(sites)}
    for site in sites:
        arms[_only(site.name)] = (site,)
        arms[_without(site.name)] = tuple(each for each in sites if each is not site)
    return arms


def _only(name: str) -> str:
    return f"only {name}"


def _without(name: str) -> str:
    return f"without {name}"


def _trained(
    arms: dict[str, tuple[Site, ...]],
    steps: int,
    seeds: Sequence[int],
    engine: Engine,
    trunks: SharedTrunks,
) -> dict[str, tuple[float, ...]]:
    """Return the scores of each arm, one per seed; train networks that arms share once."""
    # All at once, so that they are trained side by side.
    trunks.of(seeds)
    jobs = {
        (own, seed): Job(own, steps, (seed,), trunks.of((seed,)))
        for seed in seeds
        for own in arms.values()
    }
    found = {key: outcome.score[0] for key, outcome in outcomes(engine, jobs)}
    return {name: tuple(found[own, seed] for seed in seeds) for name, own in arms.items()}
