"""Statistics against scipy's own tests, published rules, and simulation."""

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bamctl.training.evidence import POWER, compare, power

# Held-out accuracies under 64 seeds: the baseline of `bamctl train resnet18 --steps 60 --seeds 64`.
ACCURACIES = json.loads((Path(__file__).parent / "accuracies.json").read_text())
EXPERIMENTS = 2000


def judged(baseline: list[float], arm: list[float], **options: float) -> object:
    return compare({"arm": (baseline, arm)}, **options)["arm"]


def test_interval_and_p_value_are_those_of_the_paired_t_test() -> None:
    baseline, arm = [0.91, 0.93, 0.90, 0.92, 0.94], [0.93, 0.94, 0.93, 0.93, 0.95]
    theirs = stats.ttest_rel(arm, baseline)
    ours = judged(baseline, arm)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert ours.ci95 == pytest.approx(ours.interval)
    assert ours.verdict == "helps"
    assert judged(arm, baseline).verdict == "hurts"


def test_the_bootstrap_interval_lies_within_the_differences() -> None:
    found = judged([0.90, 0.91, 0.92], [0.91, 0.93, 0.92])
    assert min(found.deltas) <= found.bootstrap[0] <= found.mean <= found.bootstrap[1]
    assert found.bootstrap[1] <= max(found.deltas)


def test_holms_levels_and_where_they_stop() -> None:
    """Three comparisons at 0.05: levels 1/60, 1/40, 1/20; all after the first that fails stop."""
    drawn = np.random.default_rng(0)
    base = list(drawn.normal(0.9, 0.001, 12))
    noise = drawn.normal(0, 0.01, 12)
    noise -= noise.mean()

    def arm(effect: float) -> list[float]:
        return [a + b + effect for a, b in zip(base, noise, strict=True)]

    found = compare(
        {"none": (base, arm(0.0001)), "big": (base, arm(0.03)), "some": (base, arm(0.007))}
    )
    assert found["big"].confidence == pytest.approx(1 - 0.05 / 3)
    assert found["some"].confidence == pytest.approx(1 - 0.05 / 2)
    # 0.03 < p of "some" < 0.05: alone it would count, and among three it does not.
    assert 0.025 < found["some"].p_value < 0.05
    assert found["some"].ci95[0] > 0
    assert found["some"].verdict == "inconclusive"
    assert found["none"].confidence == found["some"].confidence
    assert found["big"].verdict == "helps"


def test_an_interval_is_clear_of_zero_exactly_where_there_is_a_verdict() -> None:
    drawn = np.random.default_rng(1)
    verdicts = set()
    for _ in range(300):
        base = drawn.normal(0.9, 0.01, 6)
        arms = {n: base + drawn.normal(drawn.normal(0, 0.01), 0.008, 6) for n in "abc"}
        for each in compare({n: (base.tolist(), arm.tolist()) for n, arm in arms.items()}).values():
            low, high = each.interval
            assert (low > 0 or high < 0) == (each.verdict != "inconclusive")
            verdicts.add(each.verdict)
    assert verdicts == {"helps", "hurts", "inconclusive"}


def test_one_seed_shows_nothing() -> None:
    found = judged([0.5], [0.9])
    assert found.verdict == "inconclusive"
    assert found.interval is found.bootstrap is found.p_value is found.detectable is None


def test_equal_differences_are_no_proof_of_precision() -> None:
    """Both seeds say one image of 360 more: that is as close as they can agree, and no more."""
    found = judged([0.90, 0.91], [0.90 + 1 / 360, 0.91 + 1 / 360], resolution=1 / 360)
    assert found.verdict == "inconclusive"
    same = judged([0.9, 0.9, 0.9], [0.9, 0.9, 0.9])
    assert (same.verdict, same.interval, same.more_seeds) == ("inconclusive", (0.0, 0.0), None)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        compare({"arm": ([0.9, 0.9], [0.9])})
    with pytest.raises(ValueError, match="cannot be paired"):
        compare({"arm": ([], [])})


def test_power_is_what_simulation_finds() -> None:
    drawn = np.random.default_rng(2)
    for pairs, effect in ((5, 1.0), (3, 2.0), (20, 0.6)):
        samples = drawn.normal(effect, 1, (20_000, pairs))
        found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05)
        assert power(effect, pairs) == pytest.approx(found, abs=0.01)


def test_the_detectable_difference_is_found_four_times_out_of_five() -> None:
    found = judged([0.90, 0.91, 0.92, 0.90, 0.93], [0.91, 0.91, 0.93, 0.90, 0.92])
    assert found.verdict == "inconclusive"
    spread = np.std(found.deltas, ddof=1)
    assert power(found.detectable / spread, 5) == pytest.approx(POWER)


def test_more_seeds_are_the_least_that_have_the_power() -> None:
    found = judged([0.90, 0.91, 0.92, 0.90, 0.93], [0.91, 0.91, 0.93, 0.90, 0.92])
    effect = found.mean / np.std(found.deltas, ddof=1)
    assert power(effect, 5 + found.more_seeds) >= POWER > power(effect, 4 + found.more_seeds)


def experiments(pairs: int, count: int) -> np.ndarray:
    """Differences of real accuracies of one network under different seeds, none used twice."""
    drawn = np.random.default_rng(3)
    rows = np.argsort(drawn.random((count, len(ACCURACIES))), axis=1)[:, : 2 * pairs]
    chosen = np.array(ACCURACIES)[rows]
    return chosen[:, pairs:] - chosen[:, :pairs]


def called(differences: np.ndarray) -> np.ndarray:
    """Where the verdict is not `inconclusive`, for many experiments at once, with 359 images."""
    pairs = differences.shape[1]
    error = np.sqrt((differences.var(1, ddof=1) + (1 / 359) ** 2 / 6) / pairs)
    found: np.ndarray = 2 * stats.t.sf(abs(differences.mean(1)) / error, pairs - 1) <= 0.05
    return found


@pytest.mark.parametrize("pairs", [2, 3, 5, 10])
def test_a_network_against_itself_is_called_better_or_worse_in_at_most_5_percent(
    pairs: int,
) -> None:
    """In 200,000 experiments by the rule written out above, which is the verdict's."""
    differences = experiments(pairs, 200_000)
    for row, expected in zip(differences[:300], called(differences[:300]), strict=True):
        verdict = judged([0.0] * pairs, row.tolist(), resolution=1 / 359).verdict
        assert (verdict != "inconclusive") == expected
    rate = called(differences).mean()
    print(f"{pairs} pairs: {100 * rate:.2f} % called")
    assert rate <= 0.05


def test_a_difference_of_two_standard_errors_is_found_as_often_as_the_power_says() -> None:
    """On normal differences with the spread of the real ones."""
    pairs = 5
    spread = float(np.std(experiments(pairs, 1000).ravel(), ddof=1))
    drawn = np.random.default_rng(4)
    shift = 2 * spread / sqrt(pairs)
    samples = drawn.normal(shift, spread, (EXPERIMENTS, pairs))
    found = sum(judged([0.0] * pairs, row.tolist()).verdict == "helps" for row in samples)
    expected = power(2 / sqrt(pairs), pairs)
    print(f"found in {100 * found / EXPERIMENTS:.1f} %, expected in {100 * expected:.1f} %")
    assert found / EXPERIMENTS == pytest.approx(expected, abs=0.025)


def test_the_interval_covers_the_truth_95_times_in_100() -> None:
    drawn = np.random.default_rng(5)
    truth = 0.013
    covered = 0
    for row in drawn.normal(truth, 0.02, (EXPERIMENTS, 5)):
        low, high = judged([0.0] * 5, row.tolist()).interval
        covered += low <= truth <= high
    print(f"covered in {100 * covered / EXPERIMENTS:.1f} %")
    assert covered / EXPERIMENTS == pytest.approx(0.95, abs=0.012)
