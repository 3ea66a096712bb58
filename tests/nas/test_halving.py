import numpy as np

from bamctl.nas._halving import goes_on


def test_the_first_of_a_rung_goes_on() -> None:
    assert goes_on(np.array([[0.5, 1.0]]), 3)


def test_a_third_goes_on_whatever_the_order() -> None:
    """Each candidate is last once; those on the front come first, the most accurate of them."""
    values = np.array([[0.1, 9], [0.2, 5], [0.3, 1], [0.4, 9], [0.5, 5], [0.6, 2]])
    chosen = []
    for i in range(len(values)):
        chosen.append(goes_on(np.vstack([np.delete(values, i, axis=0), values[i]]), 3))
    assert chosen == [True, True, False, False, False, False]


def test_a_cheap_candidate_goes_on_before_a_dominated_accurate_one() -> None:
    values = np.array([[0.10, 5], [0.11, 6], [0.50, 1]])
    assert goes_on(values, 2) is False
    assert goes_on(np.vstack([values, [[0.12, 7]]]), 2) is False
    assert goes_on(np.vstack([values[:2], [[0.9, 9]], values[2:]]), 2) is True
