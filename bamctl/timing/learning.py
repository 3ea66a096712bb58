"""Coefficients learnt over several devices, and how well they serve a device left out of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bamctl.errors import InputError
from bamctl.timing import _observations as observations
from bamctl.timing._beliefs import NOISE, Belief, learnt, unknown_device, updated
from bamctl.timing.calibration import Calibration, calibration
from bamctl.timing.fitting import (
    Error,
    Sample,
    families,
    rank_correlation,
    unmoved,
)
from bamctl.timing.population import DeviceErrors, Population
from bamctl.timing.spread import REACH, Spread, factor_of
from bamctl.timing.times import Progress, Times, Traced, published_times

_FEWEST = 2


@dataclass(frozen=True)
class LeftOut:
    """A device estimated from its data sheet and the times of the other devices.

    `known_errors` has the mean error of the other networks if one network's time is known, for
    each network in turn. `time_scores` and `ratio_scores` are the errors of times, and of ratios
    of two networks of a family, in standard deviations.
    """

    name: str
    errors: tuple[Error, ...]
    known_errors: tuple[float, ...]
    time_scores: tuple[float, ...]
    ratio_scores: tuple[float, ...]

    @property
    def mean_error(self) -> float:
        """The mean error from the data sheet alone."""
        return float(np.mean([abs(each.error) for each in self.errors]))

    @property
    def mean_known_error(self) -> float:
        """The mean error with one known figure, over all choices of it."""
        return float(np.mean(self.known_errors))

    @property
    def summary(self) -> DeviceErrors:
        """The errors as a profile records them."""
        return DeviceErrors(
            mean_error=round(self.mean_error, 4),
            max_error=round(max(abs(each.error) for each in self.errors), 4),
            rank_correlation=round(rank_correlation(self.errors), 4),
            one_known_error=round(self.mean_known_error, 4),
        )


@dataclass(frozen=True)
class Learning:
    """A population of devices, the profiles of its members, and the validation of both."""

    population: Population
    calibrations: tuple[Calibration, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def time_hits(self) -> dict[str, float]:
        """The part of the times inside their 90 % intervals, by the device left out."""
        reach = REACH * self.population.spread.time_factor
        return {each.name: _within(each.time_scores, reach) for each in self.left_out}

    @property
    def ratio_hits(self) -> dict[str, float]:
        """The same, of ratios of two networks of a family."""
        reach = REACH * self.population.spread.ratio_factor
        return {each.name: _within(each.ratio_scores, reach) for each in self.left_out}

    @cached_property
    def all_hits(self) -> tuple[float, float]:
        """The part inside of the intervals over all devices, of times and of ratios."""
        spread = self.population.spread
        times = [score for each in self.left_out for score in each.time_scores]
        ratios = [score for each in self.left_out for score in each.ratio_scores]
        return (
            _within(times, REACH * spread.time_factor),
            _within(ratios, REACH * spread.ratio_factor),
        )

    def save(self, folder: Path) -> None:
        """Write `population.yaml` and a profile for each device."""
        folder.mkdir(parents=True, exist_ok=True)
        self.population.save(folder / "population.yaml")
        for each in self.calibrations:
            each.profile.save(folder / f"{each.profile.name}.yaml")


def learn(path: Path, told: Progress = lambda text: None) -> Learning:
    """Learn the coefficients over all devices of a table, and leave each out in turn.

    Args:
        path: a CSV file with the columns of an `Observation`; every device has a shipped data
            sheet.
        told: called with a line of progress.

    Raises:
        InputError: the file is invalid, or has too few devices.
    """
    times = _times(path, told)
    told("fitting all devices")
    common, own = learnt({name: each.stack() for name, each in times.items()})
    left_out = [_left_out(name, times, told) for name in times]
    held_out = _without_families(times, told)
    spread = Spread.of(
        common.covariance,
        noise=NOISE,
        time_factor=factor_of([s for each in left_out for s in each.time_scores]),
        ratio_factor=factor_of([s for each in left_out for s in each.ratio_scores]),
    )
    population = _population(path, times, common, spread, left_out)
    prior = unknown_device()
    calibrations = [
        calibration(each, own[name], unmoved(own[name], prior), held_out[name])
        for name, each in times.items()
    ]
    return Learning(population, tuple(calibrations), tuple(left_out))


def _times(path: Path, told: Progress) -> dict[str, Times]:
    rows = observations.read_all(path)
    if len(rows) < _FEWEST:
        raise InputError(f"{path} has {len(rows)} devices; leaving one out needs at least two")
    traced: Traced = {}
    return {name: published_times(name, own, path, traced, told) for name, own in rows.items()}


def _left_out(name: str, times: Mapping[str, Times], told: Progress) -> LeftOut:
    """Estimate the times of a device from those of the others."""
    told(f"leaving {name} out")
    device = times[name]
    prior, _ = learnt({other: each.stack() for other, each in times.items() if other != name})
    stack = device.stack()
    here, slopes = stack.slopes(prior.mean)
    misfits = here - stack.logs
    deviations = np.hypot(prior.deviation(slopes), NOISE)
    pairs = list(_pairs(device.samples))
    ratios = [abs(misfits[a] - misfits[b]) for a, b in pairs]
    apart = prior.deviation(
        np.array([slopes[a] - slopes[b] for a, b in pairs]).reshape(-1, slopes.shape[1])
    )
    return LeftOut(
        name,
        tuple(device.errors(device.samples, prior)),
        tuple(_with_one_known(device, prior)),
        tuple((np.abs(misfits) / deviations).tolist()),
        tuple((ratios / np.hypot(apart, np.sqrt(2) * NOISE)).tolist()),
    )


def _with_one_known(device: Times, prior: Belief) -> Iterator[float]:
    """Yield the mean error of the other networks for each network whose time is known."""
    for known in device.samples:
        belief = updated(prior, device.stack([known]))
        rest = [sample for sample in device.samples if sample is not known]
        yield float(np.mean([abs(each.error) for each in device.errors(rest, belief)]))


def _pairs(samples: Sequence[Sample]) -> Iterator[tuple[int, int]]:
    for a, one in enumerate(samples):
        yield from ((a, b) for b in range(a) if samples[b].family == one.family)


def _without_families(times: Mapping[str, Times], told: Progress) -> dict[str, list[Error]]:
    """Return the errors of families that were left out of the times of all devices."""
    found: dict[str, list[Error]] = {name: [] for name in times}
    every = families([sample for each in times.values() for sample in each.samples])
    for family in every:
        told(f"fitting without {family}")
        rest = {
            name: each.stack([s for s in each.samples if s.family != family])
            for name, each in times.items()
        }
        _, own = learnt(rest)
        for name, each in times.items():
            if of_family := [s for s in each.samples if s.family == family]:
                found[name] += each.errors(of_family, own[name])
    return found


def _population(
    path: Path,
    times: Mapping[str, Times],
    common: Belief,
    spread: Spread,
    left_out: Sequence[LeftOut],
) -> Population:
    found = common.coefficients
    rounded = {k: float(f"{v:.4g}") for k, v in found.model_dump().items()}
    samples = [sample for each in times.values() for sample in each.samples]
    return Population(
        devices=list(times),
        num_networks=len({sample.model for sample in samples}),
        batch_sizes=sorted({sample.batch_size for sample in samples}),
        source=f"published throughput ({path.name})",
        coefficients=found.model_copy(update=rounded),
        spread=spread,
        left_out={each.name: each.summary for each in left_out},
    )


def _within(scores: Sequence[float], reach: float) -> float:
    return float(np.mean(np.array(scores) <= reach)) if scores else 1.0
