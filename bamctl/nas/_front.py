"""Pareto fronts and the hypervolume that they cover; every value is to be small."""

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """In which front each row of (N, M) values is: 0 for those that no other row dominates.

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
    # What dominates a row comes before it in this order, so each is compared with few.
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
    """The volume between a reference point and what (N, M) values reach below it.

    By slices along the last axis (Zitzler's HSO); for the few points of a front.

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
