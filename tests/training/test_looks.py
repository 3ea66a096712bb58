"""The sequential test against numerical integration, martingale and simulation."""

import numpy as np
import pytest
from scipy import integrate, stats

from bamctl.training.looks import FIRST_SHARE, Looks, _log_ratio


@pytest.mark.parametrize(("t", "pairs"), [(0.0, 3), (1.5, 4), (-2.5, 9), (4.0, 30)])
def test_the_likelihood_ratio_is_that_of_normal_effects(t: float, pairs: int) -> None:
    """Integrated by scipy over effects of unit variance; see Wang and Ramdas (2024)."""

    def ratio(effect: float) -> float:
        under = stats.nct.pdf(t, pairs - 1, effect * np.sqrt(pairs))
        return float(under / stats.t.pdf(t, pairs - 1) * stats.norm.pdf(effect))

    expected, _ = integrate.quad(ratio, -8, 8, limit=200)
    assert np.exp(_log_ratio(np.array(t), np.array(pairs))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("first", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_critical_values_and_p_values_are_one_rule(first: int, level: float) -> None:
    looks = Looks(first)
    pairs = np.arange(2, 60)
    critical = looks.critical(pairs, level)
    assert np.isinf(critical[pairs < first]).all()
    assert critical[first - 2] == pytest.approx(stats.t.isf(FIRST_SHARE * level / 2, first - 1))
    for index in np.flatnonzero(np.isfinite(critical)):
        statistics = [0.0] * int(index)
        assert looks.p_value([*statistics, critical[index] * 1.0001]) < level
        assert looks.p_value([*statistics, critical[index] * 0.9999]) > level


def test_a_smaller_level_never_rejects_more() -> None:
    pairs = np.arange(2, 100)
    loose, strict = (Looks(5).critical(pairs, level) for level in (0.05, 0.01))
    assert (strict >= loose).all()


def test_the_probability_of_ever_rejecting_is_within_the_level() -> None:
    """40,000 experiments without any effect, looked at after every pair up to 200."""
    drawn = np.random.default_rng(0).normal(0, 1, (40_000, 200))
    pairs = np.arange(1, 201)
    sums, squares = drawn.cumsum(1), (drawn**2).cumsum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt((squares - sums**2 / pairs) / (pairs - 1) / pairs)
    statistics = np.abs(sums / pairs / errors)[:, 1:]
    for first, level in ((3, 0.05), (5, 0.05), (5, 0.01), (10, 0.05)):
        rate = (statistics > Looks(first).critical(pairs[1:], level)).any(1).mean()
        print(f"first look at {first}, level {level:g}: {100 * rate:.2f} % rejected")
        # Three standard errors of a rate of 5 % in 40,000 are 0.33 %.
        assert FIRST_SHARE * level - 0.0033 <= rate <= level


def test_an_interval_holds_the_means_that_no_look_rejects() -> None:
    looks, means, errors = Looks(3), np.array([9.0, 1.0, 2.0]), np.array([1.0, 0.1, 0.1])
    halves = looks.critical([3, 4], 0.05) * 0.1
    both = max(1 - halves[0], 2 - halves[1]), min(1 + halves[0], 2 + halves[1])
    assert looks.interval(means, errors, 0.05) == pytest.approx(both)
    assert looks.interval(means[:1], errors[:1], 0.05) is None


def test_looks_that_contradict_each_other_leave_the_last() -> None:
    looks, means = Looks(3), np.array([0.0, 1.0, *[2.0] * 20])
    errors = np.full(len(means), 0.01)
    low, high = looks.interval(means, errors, 0.05)
    half = float(looks.critical(23, 0.05)) * 0.01
    assert (low, high) == pytest.approx((2 - half, 2 + half))
