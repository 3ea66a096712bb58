"""Pareto fronts and their hypervolume; all values are minimized."""

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the front of each row of (N, M) values: 0 if no other row dominates it.

    >>> ranks(np.array([[0, 2], [1, 1], [2, 2], [3, 3]])).tolist()
    [0, 0, 1, 2]
    """
    found = np.full(len(values), -1)
    rank = 0
    while (found < 0).any():
        left = np.flatnonzero(found < 0)
        found[left[is_front(values[left])]] = rank
        rank += 1
    return found


def is_front(values: np.ndarray) -> np.ndarray:
    """Return which rows of (N, M) values no other row dominates; of equal rows, all or none.

    >>> is_front(np.array([[0, 2], [1, 1], [1, 2]])).tolist()
    [True, True, False]
    """
    # A row comes after all that dominate it in this order, so few comparisons are needed.
    order = np.lexsort(values.T[::-1])
    kept: list[int] = []
    result = np.zeros(len(values), dtype=bool)
    for i in order:
        front = values[kept]
        dominated = (front <= values[i]).all(axis=1) & (front < values[i]).any(axis=1)
        if not dominated.any():
            kept.append(i)
            result[i] = True
    return result


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume that (N, M) values dominate, up to a reference point.

    Slices along the last axis (Zitzler's HSO), which is fast enough for the points of a front.

    >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0]))
    3.0
    """
    inside = values[(values < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    inside = inside[np.argsort(inside[:, -1])]
    edges = [*inside[1:, -1], reference[-1]]
    total = 0.0
    for count, (row, edge) in enumerate(zip(inside, edges, strict=True), 1):
        if edge > row[-1]:
            below = inside[:count, :-1]
            total += (edge - row[-1]) * hypervolume(below[is_front(below)], reference[:-1])
    return float(total)
