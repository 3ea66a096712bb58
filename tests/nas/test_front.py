import numpy as np
import pytest

from bamctl.nas._front import hypervolume, is_front, ranks


def _dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_front_is_what_no_row_dominates(axes: int) -> None:
    values = np.random.default_rng(axes).integers(0, 6, size=(60, axes)).astype(float)
    expected = [not any(_dominates(other, row) for other in values) for row in values]
    assert is_front(values).tolist() == expected


def test_a_rank_is_one_more_than_that_of_what_dominates() -> None:
    values = np.random.default_rng(0).integers(0, 8, size=(50, 2))
    found = ranks(values)
    for row, rank in zip(values, found, strict=True):
        above = [r for other, r in zip(values, found, strict=True) if _dominates(other, row)]
        assert rank == max(above, default=-1) + 1


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_hypervolume_is_the_share_of_cells_that_are_reached(axes: int) -> None:
    """On whole numbers a volume is a number of cells, which can be counted one by one."""
    values = np.random.default_rng(axes).integers(0, 5, size=(7, axes))
    corners = np.indices((5,) * axes).reshape(axes, -1).T
    reached = sum(any((row <= corner).all() for row in values) for corner in corners)
    assert hypervolume(values.astype(float), np.full(axes, 5.0)) == pytest.approx(reached)


def test_what_is_beyond_the_reference_covers_nothing() -> None:
    assert hypervolume(np.array([[3.0, 0.0]]), np.array([2.0, 2.0])) == 0.0
