"""How often verdicts are wrong, and what they cost in seeds, by simulation.

    python -m tests.benchmarks.verdicts [EXPERIMENTS]

The differences of two equal networks are those of 64 real runs of one network under different
seeds (`tests/training/accuracies.json`), drawn with replacement; arms share their baseline. Power
and numbers of pairs are those of normal differences.
"""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from bamctl.training.evidence import Evidence, compare, equivalence_power, power
from bamctl.training.looks import FIRST_SHARE, Looks

ACCURACIES = json.loads((Path(__file__).parents[1] / "training" / "accuracies.json").read_text())
IMAGES, LEVEL, MOST = 359, 0.05, 100
ARMS = (1, 3, 10)

Judge = Callable[[int], dict[str, Evidence]]


def advised(judge: Judge) -> Iterator[dict[str, Evidence]]:
    """Begin with 5 seeds, and go on to what the longest advice asks for."""
    seeds = 5
    while True:
        found = judge(seeds)
        yield found
        more = [each.more_seeds for each in found.values() if each.more_seeds]
        if not more:
            return
        seeds += max(more)


def one_at_a_time(judge: Judge) -> Iterator[dict[str, Evidence]]:
    """Begin with 5 seeds, and add one until all is settled, up to 100.

    A verdict that was reached stays, so the last look shows those of all looks before.
    """
    yield judge(MOST)


def doubled(judge: Judge) -> Iterator[dict[str, Evidence]]:
    """Look at 3, 5, 10, 20 and 40 seeds."""
    for seeds in (3, 5, 10, 20, 40):
        yield judge(seeds)


RULES = {
    "on as advised": (advised, 5),
    "one at a time": (one_at_a_time, 5),
    "3, 5, 10, 20, 40": (doubled, 3),
}


def false_alarms(task: tuple[str, int, int, int]) -> int:
    """Return in how many of some experiments of equal networks any verdict is given."""
    name, arms, seed, experiments = task
    rule, first = RULES[name]
    drawn = np.random.default_rng(seed)
    found = 0
    for _ in range(experiments):
        values = drawn.choice(ACCURACIES, (arms + 1, MOST)).tolist()

        def judge(seeds: int, values: list[list[float]] = values) -> dict[str, Evidence]:
            pairs = {
                str(arm): (values[0][:seeds], values[arm][:seeds]) for arm in range(1, arms + 1)
            }
            return compare(pairs, first=first, resolution=1 / IMAGES)

        found += any(
            each.verdict != "inconclusive" for look in rule(judge) for each in look.values()
        )
    return found


def report_false_alarms(experiments: int) -> None:
    """Print the rate of false alarms by rule and number of arms."""
    parts = 20
    with ProcessPoolExecutor(2) as pool:
        for name, arms in product(RULES, ARMS):
            tasks = [(name, arms, part, experiments // parts) for part in range(parts)]
            rate = sum(pool.map(false_alarms, tasks)) / (experiments // parts * parts)
            print(f"{name:18} {arms:2} arms: {100 * rate:.2f} % of {experiments:,}", flush=True)


def report_power() -> None:
    """Print the power of the first look of 5 beside the plain t test's."""
    plain = float(stats.t.isf(LEVEL / 2, 4))
    ours = float(Looks(5).critical(5, LEVEL))
    for effect in (0.1, 0.5, 1, 1.5, 2, 3):
        both = power(effect, 5, ours), power(effect, 5, plain)
        print(
            f"5 seeds, effect {effect:3g} sd: power {both[0]:.3f}, t test {both[1]:.3f}, "
            f"ratio {both[0] / both[1]:.3f}"
        )


def report_pairs(experiments: int) -> None:
    """Print how many pairs `--until settled` takes, beside the best fixed number."""
    for effect in (0.5, 1, 2):
        fixed = next(
            n
            for n in range(2, 1000)
            if power(effect, n, float(stats.t.isf(LEVEL / 2, n - 1))) >= 0.8
        )
        took = settled_after(effect, experiments)
        print(
            f"effect {effect:3g} sd: settled after {took.mean():.1f} pairs on average, median "
            f"{np.median(took):.0f}, 80 % by {np.quantile(took, 0.8):.0f}; fixed size for a "
            f"power of 80 %: {fixed}"
        )


def settled_after(effect: float, experiments: int, most: int = 400) -> np.ndarray:
    """Return the number of pairs at which each experiment is settled."""
    values = np.random.default_rng(1).normal(effect, 1, (experiments, most))
    pairs = np.arange(1, most + 1)
    sums, squares = values.cumsum(1), (values**2).cumsum(1)
    errors = np.sqrt((squares - sums**2 / pairs)[:, 1:] / (pairs[1:] - 1) / pairs[1:])
    rejected = np.abs(sums / pairs)[:, 1:] / errors > Looks(5).critical(pairs[1:], LEVEL)
    return np.where(rejected.any(1), rejected.argmax(1) + 2, most)


def report_equivalence(experiments: int) -> None:
    """Print how often a margin is claimed at its edge, and for equal networks."""
    critical = float(Looks(5).critical(5, LEVEL))
    for effect, margin in ((1.0, 1.0), (2.0, 2.0), (0.0, 1.5), (0.0, 2.0), (0.0, 3.0)):
        rows = np.random.default_rng(2).normal(effect, 1, (experiments, 5)).tolist()
        called = sum(
            compare({"arm": ([0.0] * 5, row)}, margin=margin)["arm"].verdict == "equivalent"
            for row in rows
        )
        expected = equivalence_power(effect, margin, 5, critical)
        print(
            f"5 seeds, effect {effect:g} sd, margin {margin:g} sd: equivalent in "
            f"{100 * called / experiments:.2f} %, by calculation {100 * expected:.2f} %"
        )


def main(experiments: int = 20_000) -> None:
    """Print all tables."""
    print(f"share of the level at the first look: {FIRST_SHARE:g}")
    report_power()
    report_pairs(experiments)
    report_equivalence(experiments)
    report_false_alarms(experiments)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
