"""Samplers of Optuna, restricted to new candidates within the budgets."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from bamctl.nas._space import Codes
from bamctl.nas._trials import CODES, candidate
from bamctl.nas.costs import Costs

Sampler = Literal["nsga2", "tpe", "random"]

_POPULATION = 16
_MUTATIONS = 40
_DRAWN = 10_000
_DRAWS = 20
_SLICE = 100


def _nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=_POPULATION, seed=seed)


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(n_startup_trials=_POPULATION, multivariate=True, seed=seed)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: dict[Sampler, Callable[[int], BaseSampler]] = {
    "nsga2": _nsga2,
    "tpe": _tpe,
    "random": _random,
}


class Proposals(BaseSampler):
    """Proposals of a sampler, changed as little as makes them new candidates within the budgets.

    Args:
        kind: which sampler; `random` draws evenly.
        costs: the space and its budgets.
        seed: of this proposal. With a new one for each, a resumed study equals one that was
            never interrupted.
    """

    def __init__(self, kind: Sampler, costs: Costs, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._base = SAMPLERS[kind](seed)
        self._is_even = kind == "random"
        self._costs, self._space = costs, costs.space
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the distributions of all searched parameters."""
        choices = self._space.choices
        return {n: CategoricalDistribution(choices[n]) for n in self._space.parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose the parameters of a candidate, a new one unless none is left."""
        if CODES in trial.user_attrs:
            return {}
        seen = self._seen(study, trial)
        if self._is_even:
            return self._space.encode(self._drawn(seen) or self._within(self._any()))
        params = self._base.sample_relative(study, trial, search_space)
        for name, distribution in search_space.items():
            if name not in params:
                params[name] = self._base.sample_independent(study, trial, name, distribution)
        return self._space.encode(self._mended(self._space.decode(params), seen))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Raise, since parameters are proposed together."""
        raise AssertionError(f"{param_name} has no value")

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Delegate to the base sampler."""
        self._base.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Delegate to the base sampler."""
        self._base.after_trial(study, trial, state, values)

    def _seen(self, study: Study, own: FrozenTrial) -> set[tuple[int, ...]]:
        found = (
            candidate(each, self._space)
            for each in study.get_trials(deepcopy=False)
            if each.number != own.number and each.state != TrialState.FAIL
        )
        return {codes for codes in found if codes is not None}

    def _mended(self, codes: tuple[int, ...], seen: set[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the candidate, or one near it that is within the budgets and new."""
        for _ in range(_MUTATIONS):
            codes = self._within(codes)
            if codes not in seen:
                return codes
            codes = self._mutated(codes)
        return self._drawn(seen) or self._within(codes)

    def _within(self, codes: tuple[int, ...]) -> tuple[int, ...]:
        """Remove random modules until the budgets hold."""
        row = list(codes)
        for site in self._rng.permutation(np.flatnonzero(row)):
            if self._costs.fits(row):
                break
            row[site] = 0
        return tuple(row)

    def _mutated(self, codes: tuple[int, ...]) -> tuple[int, ...]:
        """Change one random parameter."""
        params = self._space.encode(codes)
        choices = self._space.choices
        several = [name for name in self._space.parameters if len(choices[name]) > 1]
        name = several[self._rng.integers(len(several))]
        others = [choice for choice in choices[name] if choice != params[name]]
        return self._space.decode({**params, name: others[self._rng.integers(len(others))]})

    def _drawn(self, seen: set[tuple[int, ...]]) -> tuple[int, ...] | None:
        """Draw a new candidate within the budgets, uniformly; return None if none is found."""
        for rows in self._shuffled():
            for row in map(tuple, rows.tolist()):
                if row not in seen:
                    return row
        return None

    def _shuffled(self) -> Iterator[Codes]:
        """Yield candidates within the budgets in random order, a few at a time."""
        within = self._costs.within
        if within is not None:
            order = self._rng.permutation(len(within))
            yield from (within[order[i : i + _SLICE]] for i in range(0, len(order), _SLICE))
            return
        for _ in range(_DRAWS):
            rows = self._costs.draw(_DRAWN, self._rng)
            yield rows[self._costs.is_within(rows)]

    def _any(self) -> tuple[int, ...]:
        return tuple(self._costs.draw(1, self._rng)[0].tolist())
