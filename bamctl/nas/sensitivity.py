"""Which sites of a placement carry its gain: each alone, and all but each."""

from collections.abc import Sequence
from dataclasses import dataclass

from bamctl.errors import InputError
from bamctl.nas.engines import Engine, Job, outcomes
from bamctl.placement.sites import Site
from bamctl.training.arms import BASELINE
from bamctl.training.evidence import Evidence, compare

ALL = "all sites"


@dataclass(frozen=True)
class SiteSensitivity:
    """What one site gives: alone against the baseline, and to all others that are there already."""

    site: Site
    alone: Evidence
    added_last: Evidence


@dataclass(frozen=True)
class Sensitivity:
    """A placement taken apart; `accuracy` is by arm, one for each seed.

    All verdicts together are 95 % sure.
    """

    accuracy: dict[str, tuple[float, ...]]
    together: Evidence
    sites: tuple[SiteSensitivity, ...]


def take_apart(
    sites: Sequence[Site], *, steps: int, seeds: Sequence[int], num_held_out: int, engine: Engine
) -> Sensitivity:
    """Train without sites, with each alone, with all but each, and with all, seed by seed.

    Args:
        sites: of the full placement; two or more.
        steps: how long each run is.
        seeds: one run of each for each.
        num_held_out: images that accuracies are of.
        engine: what runs them.

    Raises:
        InputError: there are fewer than two sites.
        BamctlError: a network cannot be trained.
    """
    if len(sites) < 2:
        raise InputError(f"{len(sites)} site cannot be taken apart; name two or more with --where")
    accuracy = _trained(_arms(sites), steps, seeds, engine)
    pairs = {ALL: (accuracy[BASELINE], accuracy[ALL])}
    for site in sites:
        name = site.point.module
        pairs[_only(name)] = (accuracy[BASELINE], accuracy[_only(name)])
        # With two sites, all but one is the other alone.
        pairs[_without(name)] = (accuracy[_without(name)], accuracy[ALL])
    found = compare(pairs, resolution=1 / num_held_out)
    names = [site.point.module for site in sites]
    return Sensitivity(
        accuracy=accuracy,
        together=found[ALL],
        sites=tuple(
            SiteSensitivity(site, found[_only(name)], found[_without(name)])
            for site, name in zip(sites, names, strict=True)
        ),
    )


def _arms(sites: Sequence[Site]) -> dict[str, tuple[Site, ...]]:
    """The sites of each network, by the name of its arm."""
    arms: dict[str, tuple[Site, ...]] = {BASELINE: (), ALL: tuple(sites)}
    for site in sites:
        arms[_only(site.point.module)] = (site,)
        arms[_without(site.point.module)] = tuple(each for each in sites if each is not site)
    return arms


def _only(name: str) -> str:
    return f"only {name}"


def _without(name: str) -> str:
    return f"without {name}"


def _trained(
    arms: dict[str, tuple[Site, ...]], steps: int, seeds: Sequence[int], engine: Engine
) -> dict[str, tuple[float, ...]]:
    """The accuracy of each arm, one for each seed; what is in several arms is trained once."""
    jobs = {(own, seed): Job(own, steps, (seed,)) for seed in seeds for own in arms.values()}
    found = {key: outcome.accuracy[0] for key, outcome in outcomes(engine, jobs)}
    return {name: tuple(found[own, seed] for seed in seeds) for name, own in arms.items()}
