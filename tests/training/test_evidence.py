"""Statistics against scipy's own tests, published rules, and simulation."""

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bamctl.training.evidence import MOST_SEEDS, POWER, compare, equivalence_power, power
from bamctl.training.looks import FIRST_SHARE, Looks

# Held-out accuracies under 64 seeds: the baseline of `bamctl train resnet18 --steps 60 --seeds 64`.
ACCURACIES = json.loads((Path(__file__).parent / "accuracies.json").read_text())
EXPERIMENTS = 2000


def judged(baseline: list[float], arm: list[float], **options: float) -> object:
    return compare({"arm": (baseline, arm)}, **options)["arm"]


def critical_t(pairs: int, level: float = FIRST_SHARE * 0.05) -> float:
    return float(stats.t.isf(level / 2, pairs - 1))


def test_the_first_look_is_the_paired_t_test_at_its_share_of_the_level() -> None:
    baseline, arm = [0.91, 0.93, 0.90, 0.92, 0.94], [0.93, 0.94, 0.93, 0.93, 0.95]
    theirs = stats.ttest_rel(arm, baseline)
    ours = judged(baseline, arm)
    assert ours.p_value == pytest.approx(theirs.pvalue / FIRST_SHARE)
    expected = theirs.confidence_interval(1 - FIRST_SHARE * 0.05)
    assert ours.interval == pytest.approx(tuple(expected))
    assert ours.ci95 == pytest.approx(ours.interval)
    assert ours.verdict == "helps"
    assert judged(arm, baseline).verdict == "hurts"
    assert judged(baseline, arm, lower_is_better=True).verdict == "hurts"


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
    # Alone it would count, and among three it does not.
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
    assert found.interval is found.ci95 is found.p_value is found.detectable is None


def test_equal_differences_are_no_proof_of_precision() -> None:
    """Both seeds say one image of 360 more: that is as close as they can agree, and no more."""
    found = judged([0.90, 0.91], [0.90 + 1 / 360, 0.91 + 1 / 360], resolution=1 / 360)
    assert found.verdict == "inconclusive"
    same = judged([0.9, 0.9, 0.9], [0.9, 0.9, 0.9])
    assert (same.verdict, same.interval, same.more_seeds) == ("inconclusive", None, None)


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
        assert power(effect, pairs, critical_t(pairs, 0.05)) == pytest.approx(found, abs=0.01)


def test_the_detectable_difference_is_found_four_times_out_of_five() -> None:
    found = judged([0.90, 0.91, 0.92, 0.90, 0.93], [0.91, 0.91, 0.93, 0.90, 0.92])
    assert found.verdict == "inconclusive"
    spread = np.std(found.deltas, ddof=1)
    assert power(found.detectable / spread, 5, critical_t(5)) == pytest.approx(POWER)


def test_more_seeds_are_the_least_that_have_the_power_at_the_look_they_lead_to() -> None:
    found = judged([0.90, 0.91, 0.92, 0.90, 0.93], [0.914, 0.912, 0.931, 0.90, 0.935])
    assert found.verdict == "inconclusive"
    effect = found.mean / np.std(found.deltas, ddof=1)
    advised = 5 + found.more_seeds
    before, after = Looks(5).critical([advised - 1, advised], 0.05)
    assert power(effect, advised, after) >= POWER > power(effect, advised - 1, before)


def test_more_seeds_than_anybody_trains_are_not_advised() -> None:
    found = judged([0.90, 0.91, 0.92, 0.90, 0.93], [0.91, 0.90, 0.93, 0.90, 0.9201])
    effect = found.mean / np.std(found.deltas, ddof=1)
    most = float(Looks(5).critical(MOST_SEEDS, 0.05))
    assert power(effect, MOST_SEEDS, most) < POWER
    assert found.more_seeds is None


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
    found: np.ndarray = (
        2 * stats.t.sf(abs(differences.mean(1)) / error, pairs - 1) <= 0.05 * FIRST_SHARE
    )
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
    expected = power(2 / sqrt(pairs), pairs, critical_t(pairs))
    print(f"found in {100 * found / EXPERIMENTS:.1f} %, expected in {100 * expected:.1f} %")
    assert found / EXPERIMENTS == pytest.approx(expected, abs=0.025)


def test_the_interval_of_the_first_look_covers_the_truth_as_often_as_its_share_says() -> None:
    drawn = np.random.default_rng(5)
    truth = 0.013
    covered = 0
    for row in drawn.normal(truth, 0.02, (EXPERIMENTS, 5)):
        low, high = judged([0.0] * 5, row.tolist()).interval
        covered += low <= truth <= high
    print(f"covered in {100 * covered / EXPERIMENTS:.1f} %")
    assert covered / EXPERIMENTS == pytest.approx(1 - 0.05 * FIRST_SHARE, abs=0.012)


def test_equivalence_is_found_as_often_as_simulation_says() -> None:
    drawn = np.random.default_rng(6)
    pairs, margin = 12, 1.0
    rows = drawn.normal(0.2, 1, (EXPERIMENTS, pairs))
    found = sum(
        judged([0.0] * pairs, r.tolist(), margin=margin).verdict == "equivalent" for r in rows
    )
    expected = equivalence_power(0.2, margin, pairs, critical_t(pairs))
    print(f"equivalent in {100 * found / EXPERIMENTS:.1f} %, expected in {100 * expected:.1f} %")
    assert found / EXPERIMENTS == pytest.approx(expected, abs=0.03)
    assert 0.3 < expected < 0.9


def test_a_difference_at_the_margin_is_called_equivalent_in_at_most_5_percent() -> None:
    drawn = np.random.default_rng(7)
    rows = drawn.normal(0.7, 1, (EXPERIMENTS, 20))
    called = sum(judged([0.0] * 20, r.tolist(), margin=0.7).verdict == "equivalent" for r in rows)
    # One end of a 95.75 % interval is beyond the truth in 2.1 %: 43 of 2,000, give or take 6.4.
    assert 20 < called < 66


def test_a_margin_asks_for_bonferronis_levels() -> None:
    arms = {
        name: ([0.9, 0.91, 0.9], [0.9 + d, 0.91 + d, 0.901 + d])
        for name, d in (("a", 0.03), ("b", 0.0))
    }
    assert [each.confidence for each in compare(arms, margin=0.01).values()] == [0.975, 0.975]


def test_a_verdict_once_reached_stays_while_others_get_more_seeds() -> None:
    """A strong difference at five pairs, then a sixth of the same size and one of nothing."""
    five = [0.020, 0.021, 0.019, 0.022, 0.018]
    for more in ([0.02], [0.02, 0.0]):
        found = judged([0.0] * (5 + len(more)), five + more, first=5)
        assert found.verdict == "helps"
    assert judged([0.0] * 4, five[:4], first=5).verdict == "inconclusive"


@pytest.mark.parametrize("first", [2, 3, 5, 10])
def test_a_network_against_itself_may_be_looked_at_after_every_seed(first: int) -> None:
    """With real accuracies: a verdict at any of up to 32 looks, in at most 5 % of 20,000."""
    differences = experiments(32, 20_000)
    pairs = np.arange(1, 33)
    squares = (differences**2).cumsum(1) - differences.cumsum(1) ** 2 / pairs
    errors = np.sqrt((squares / np.maximum(pairs - 1, 1) + (1 / 359) ** 2 / 6) / pairs)
    statistics = np.abs(differences.cumsum(1) / pairs) / errors
    ever = (statistics[:, 1:] > Looks(first).critical(pairs[1:], 0.05)).any(1)
    for row, expected in zip(differences[:200], ever[:200], strict=True):
        verdict = judged([0.0] * 32, row.tolist(), first=first, resolution=1 / 359).verdict
        assert (verdict != "inconclusive") == expected
    print(f"first look at {first}: {100 * ever.mean():.2f} % called")
    assert ever.mean() <= 0.05


def test_pairs_that_agree_to_the_last_bit_exclude_nothing() -> None:
    """As of two networks that answer the same to every input; with a resolution they do."""
    same = {"a": ([0.08, 0.08, 0.08], [0.08, 0.08, 0.08])}
    found = compare(same)["a"]
    assert (found.interval, found.excluded, found.detectable) == (None, None, None)
    assert found.verdict == "inconclusive"
    assert compare(same, margin=0.01)["a"].verdict == "inconclusive"
    assert compare(same, resolution=0.01)["a"].excluded > 0
