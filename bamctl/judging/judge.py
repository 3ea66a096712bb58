"""`judge`: a verdict on results that exist already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from bamctl.errors import InputError, did_you_mean
from bamctl.judging.runs import Run, by_arm, read
from bamctl.results import Displayed
from bamctl.training.evidence import Evidence, compare, holm, verdict_of

Values = Mapping[str, float]
Better = Literal["higher", "lower"]
BASELINE = "baseline"


@dataclass(frozen=True)
class JudgedArm:
    """The results of one arm by seeds, and the evidence of its difference to the baseline.

    `evidence` is None for the baseline itself. `left_out` are the seeds that one side lacks.
    """

    name: str
    values: dict[str, float]
    evidence: Evidence | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgment(Displayed):
    """Verdicts on results: of each arm against the baseline, all together at one level.

    `is_paired` is true if runs were compared seed by seed.
    """

    metric: str
    better: Better
    baseline: str
    is_paired: bool
    arms: tuple[JudgedArm, ...]


def judge(
    results: str | Path | Sequence[str | Path] | Mapping[str, Values | Sequence[float]],
    *,
    baseline: str | None = None,
    metric: str | None = None,
    better: Better = "higher",
    margin: float | None = None,
    first: int | None = None,
    paired: bool | None = None,
) -> Judgment:
    """Say whether arms of a finished comparison differ from its baseline, as `train` would.

    Runs that share their seed are compared pair by pair, by a test that holds however often seeds
    were added (`bamctl.training.looks`). If there are no seeds, or too few in common, Welch's t
    test for independent runs is used, which holds for one look at the data.

    Args:
        results: tables with columns `arm`, `seed` and the result, in any order; patterns of
            TensorBoard's folders, such as `runs/{arm}/seed-{seed}`; or the values of each arm, by
            seeds or in a list.
        baseline: the arm to compare with; the one named `baseline` if left out.
        metric: the column or scalar; may be left out if there is only one.
        better: `lower` for an error or a loss.
        margin: a difference smaller than this, in the metric's unit, is called `equivalent`.
        first: the number of seeds at the first look, if seeds were added after one; all if left
            out.
        paired: False for runs that share no more than the name of their seed.

    Raises:
        InputError: the results cannot be read, or there are too few to judge.

    >>> found = judge({"baseline": [90.1, 90.4, 90.2], "se": [92.3, 92.9, 92.5]}, paired=True)
    >>> found.arms[1].evidence.verdict
    'helps'
    """
    if better not in ("higher", "lower"):
        raise InputError(f"better is {better!r}; use 'higher' or 'lower'")
    if margin is not None and not margin > 0:
        raise InputError("margin must be above zero")
    values, name = _values(results, metric)
    base = _baseline(values, baseline)
    others = [arm for arm in values if arm != base]
    common = {arm: [seed for seed in values[base] if seed in values[arm]] for arm in others}
    numbered = any(seed.startswith("#") for own in values.values() for seed in own)
    is_paired = (not numbered and min(map(len, common.values())) >= 2) if paired is None else paired
    is_lower_better = better == "lower"
    if is_paired:
        if short := [arm for arm in others if len(common[arm]) < 2]:
            raise InputError(f"{short[0]} and {base} have fewer than two seeds in common")
        pairs = {
            arm: (_of(values[base], common[arm]), _of(values[arm], common[arm])) for arm in others
        }
        evidence = compare(pairs, first=first, margin=margin, lower_is_better=is_lower_better)
    else:
        sides = {arm: (_of(values[base]), _of(values[arm])) for arm in others}
        evidence = _independent(sides, margin=margin, lower_is_better=is_lower_better)
    arms = [JudgedArm(base, dict(values[base]))]
    for arm in others:
        lacking = set(values[arm]) ^ set(values[base]) if is_paired else set()
        arms.append(JudgedArm(arm, dict(values[arm]), evidence[arm], tuple(sorted(lacking))))
    return Judgment(name, better, base, is_paired, tuple(arms))


def _of(values: Values, seeds: Sequence[str] | None = None) -> list[float]:
    """Return the values of some seeds, or of all."""
    return [values[seed] for seed in (values if seeds is None else seeds)]


def _values(results: Any, metric: str | None) -> tuple[dict[str, Values], str]:
    if isinstance(results, Mapping):
        runs = [run for arm, own in results.items() for run in _runs(str(arm), own)]
        return dict(by_arm(runs)), metric or "value"
    listed = [results] if isinstance(results, str | Path) else list(results)
    runs, name = read(map(str, listed), metric)
    return dict(by_arm(runs)), name


def _runs(arm: str, own: Values | Sequence[float]) -> list[Run]:
    if isinstance(own, Mapping):
        return [Run(arm, str(seed), float(value)) for seed, value in own.items()]
    return [Run(arm, None, float(value)) for value in own]


def _baseline(values: Mapping[str, Values], named: str | None) -> str:
    if named is not None and named not in values:
        near = did_you_mean(named, values) or f"; there are {', '.join(values)}"
        raise InputError(f"no arm {named!r}{near}")
    base = named or BASELINE
    if base not in values:
        raise InputError(f"name the arm to compare with by --baseline: {', '.join(values)}")
    if len(values) < 2:
        raise InputError(f"only {base} is there; a comparison needs another arm")
    for arm, own in values.items():
        if len(own) < 2:
            raise InputError(f"{arm} has one run, which shows no spread; judge two or more")
    return base


def _independent(
    sides: Mapping[str, tuple[list[float], list[float]]],
    *,
    margin: float | None,
    lower_is_better: bool,
) -> dict[str, Evidence]:
    """Test arms with runs of their own by Welch's t test; levels as in `compare`."""
    tests = {arm: stats.ttest_ind(own, base, equal_var=False) for arm, (base, own) in sides.items()}
    p_values = {arm: float(np.nan_to_num(test.pvalue, nan=1.0)) for arm, test in tests.items()}
    each = 0.05 / len(tests)
    levels = holm(p_values, 0.05) if margin is None else dict.fromkeys(tests, each)
    found = {}
    for arm, (base, own) in sides.items():
        mean = float(np.mean(own) - np.mean(base))
        intervals = [tests[arm].confidence_interval(1 - level) for level in (levels[arm], 0.05)]
        interval, ci95 = ((float(each.low), float(each.high)) for each in intervals)
        found[arm] = Evidence(
            deltas=(),
            mean=mean,
            confidence=1 - levels[arm],
            first=min(len(base), len(own)),
            verdict=verdict_of(interval, margin, -1 if lower_is_better else 1),
            margin=margin,
            interval=interval if np.isfinite(interval).all() else None,
            ci95=ci95 if np.isfinite(ci95).all() else None,
            p_value=p_values[arm],
        )
    return found
