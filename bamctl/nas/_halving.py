"""Successive halving with several objectives: many short runs, of which the best are continued."""

import numpy as np

from bamctl.nas._front import ranks


def goes_on(values: np.ndarray, factor: int) -> bool:
    """Return whether the last row is among the best 1/factor of its rung.

    Asynchronous, so that no driver waits (Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", MLSys 2020). Candidates are ordered by their Pareto front instead of by
    one loss, and within a front by the first objective.

    Args:
        values: of the candidates that reached a rung, with shape (N, M), all minimized.
        factor: the reduction of the number of candidates per rung.

    >>> goes_on(np.array([[0.2, 9], [0.3, 9], [0.1, 9]]), 3)
    True
    >>> goes_on(np.array([[0.2, 9], [0.1, 9], [0.3, 9]]), 3)
    False
    """
    order = np.lexsort((values[:, 0], ranks(values)))
    place = int(np.flatnonzero(order == len(values) - 1)[0])
    return place < max(len(values) // factor, 1)
