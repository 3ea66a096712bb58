"""Successive halving with several objectives: many short runs, and the best ones longer."""

import numpy as np

from bamctl.nas._front import ranks


def goes_on(values: np.ndarray, factor: int) -> bool:
    """Return whether the last row is among the best 1/factor of those that came as far.

    Asynchronous, so that nobody waits (Li et al., "A System for Massively Parallel Hyperparameter
    Tuning", MLSys 2020); instead of by one loss, candidates are ordered by their Pareto front, and
    within a front by the first objective.

    Args:
        values: of the candidates that have come to a rung, with shape (N, M), all to be small.
        factor: by which the number of candidates is cut.

    >>> goes_on(np.array([[0.2, 9], [0.3, 9], [0.1, 9]]), 3)
    True
    >>> goes_on(np.array([[0.2, 9], [0.1, 9], [0.3, 9]]), 3)
    False
    """
    order = np.lexsort((values[:, 0], ranks(values)))
    place = int(np.flatnonzero(order == len(values) - 1)[0])
    return place < max(len(values) // factor, 1)
