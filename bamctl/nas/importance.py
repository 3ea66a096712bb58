"""Importance of choices for the score, beside what noise alone would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial

_TREES, _TREES_SEED = 16, 0
# The largest share among this many random orders is reached by noise alone in one of twenty cases.
_ORDERS = 19
_FEWEST_TRIALS = 10


@dataclass(frozen=True)
class Importance:
    """Each parameter's share in the variance of the score, and what noise alone would give.

    `noise` is the share that the most important parameter has in one of twenty studies whose
    scores depend on none.
    """

    shares: dict[str, float]
    noise: float

    @property
    def shown(self) -> dict[str, float]:
        """The shares that are larger than noise would give."""
        return {name: share for name, share in self.shares.items() if share > self.noise}


def importance(ended: list[FrozenTrial], steps: int) -> Importance:
    """Compute fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) over trials that took all steps.

    The scores of as many random orders show what noise alone would give.
    """
    whole = [trial for trial in ended if trial.user_attrs["steps"] == steps]
    scores = [trial.values[0] for trial in whole]
    if len(whole) < _FEWEST_TRIALS or len(set(scores)) < 2:
        return Importance({}, 0.0)
    shares = _fanova(whole, scores)
    drawn = np.random.default_rng(_TREES_SEED)
    by_noise = [
        max(_fanova(whole, drawn.permutation(scores).tolist()).values()) for _ in range(_ORDERS)
    ]
    return Importance(shares, max(by_noise))


def _fanova(trials: list[FrozenTrial], scores: Sequence[float]) -> dict[str, float]:
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value)
        for trial, value in zip(trials, map(float, scores), strict=True)
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=_TREES_SEED)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
