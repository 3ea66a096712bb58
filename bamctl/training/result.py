"""Results of a comparison: accuracies, costs, and the evidence for and against each arm."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from bamctl.data.sets import Data
from bamctl.results import Displayed
from bamctl.tracing.trace import Trace
from bamctl.training.arms import BASELINE, Arm, Arms
from bamctl.training.config import TrainingConfig
from bamctl.training.evidence import Evidence, compare
from bamctl.training.measure import ACCURACY
from bamctl.training.run_folder import RunFolder
from bamctl.training.tasks.tasks import task_named
from bamctl.training.watching import key_of_test
from bamctl.trunk.cut_points import Trunk


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm.

    `values` are the task's measure of the held-out samples after the last step, such as the top-1
    accuracy, and `loss` is the loss, one for each seed; so are `test_values` of the test split, if
    requested. A loss that is not finite, or that the task does not have, is None. `curve` has the
    mean over the seeds at each evaluation, by step. `diverged` is the number of diverged runs,
    whose value is that of guessing. `train_loss` is the mean since the evaluation before the last.
    """

    arm: Arm
    values: tuple[float, ...]
    loss: tuple[float | None, ...]
    train_loss: tuple[float | None, ...]
    test_values: tuple[float, ...]
    curve: dict[int, float]
    diverged: int
    seconds_per_step: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Comparison:
    """One arm against another.

    `evidence` is that of the task's measure, which alone makes the verdict. `loss` is that of the
    held-out loss, a finer measure with verdicts of its own; None if a run diverged or has none.
    """

    arm: str
    baseline: str
    evidence: Evidence
    loss: Evidence | None

    @property
    def is_settled(self) -> bool:
        """Whether the measure has a verdict."""
        return self.evidence.is_settled


@dataclass(frozen=True)
class Result(Displayed):
    """The result of a comparison.

    `guess` is the measure of the best answer that does not depend on the input. `site_warnings` say
    what modules cannot do on their maps. `stopped` says why no more seeds were added, where they
    are added until all is settled. A loop of one's own has no known samples and no `guess`.
    """

    folder: Path
    config: TrainingConfig
    trace: Trace
    trunk: Trunk
    num_train: int | None
    num_held_out: int | None
    guess: float | None
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    missing: tuple[str, ...]
    site_warnings: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]
    stopped: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether every comparison has a verdict."""
        return all(each.is_settled for each in self.comparisons)


def summarize(
    folder: RunFolder,
    config: TrainingConfig,
    made: Arms,
    data: Data | None,
) -> Result:
    """Evaluate a comparison whose runs are all finished."""
    found = {arm.name: _arm_result(folder, arm, config) for arm in made.arms}
    return Result(
        folder=folder.path,
        config=config,
        trace=made.trace,
        trunk=made.trunk,
        num_train=None if data is None else len(data.train),
        num_held_out=None if data is None else len(data.held_out),
        guess=None if data is None else task_named(config.task).guess(data.held_out, data),
        arms=tuple(found.values()),
        comparisons=_comparisons(found, config, resolution(config, data)),
        missing=made.missing,
        site_warnings=made.warnings,
        metrics=tuple(
            line
            for arm in made.arms
            for seed in config.seeds
            for line in folder.evaluations(arm.name, seed)
        ),
    )


def _arm_result(folder: RunFolder, arm: Arm, config: TrainingConfig) -> ArmResult:
    measure, test = config.measure.name, key_of_test(config.measure.name)
    by_seed = [folder.evaluations(arm.name, seed) for seed in config.seeds]
    steps = config.evaluated_at()
    if steps is None:
        steps = tuple(sorted({line["step"] for lines in by_seed for line in lines}))
    last = [own[-1] for own in by_seed]
    timing = [line for line in folder.timing.lines if line["arm"] == arm.name]
    timing = [line for line in timing if line["seed"] in config.seeds]
    return ArmResult(
        arm=arm,
        values=tuple(line[measure] for line in last),
        loss=tuple(line.get("loss") for line in last),
        train_loss=tuple(line.get("train_loss") for line in last),
        test_values=tuple(line[test] for line in last if test in line),
        curve=_mean_curve(by_seed, steps, measure),
        diverged=sum(line["diverged"] for line in last),
        seconds_per_step=median(line["seconds_per_step"] for line in timing),
        peak_memory_bytes=max(line["peak_memory_bytes"] for line in timing),
    )


def resolution(config: TrainingConfig, data: Data | None) -> float:
    """Return the smallest difference of two values: one sample if each is right or wrong."""
    counts = config.measure.name == ACCURACY
    return 1 / len(data.held_out) if data is not None and counts else 0.0


def _mean_curve(
    by_seed: list[list[dict[str, Any]]], steps: Iterable[int], measure: str
) -> dict[int, float]:
    """Return the mean over the seeds by step; a diverged run keeps its last value."""

    def at(lines: list[dict[str, Any]], step: int) -> float:
        before = [line for line in lines if line["step"] <= step]
        return float((before or lines)[-1][measure])

    return {step: mean(at(lines, step) for lines in by_seed) for step in steps}


def _comparisons(
    arms: Mapping[str, ArmResult], config: TrainingConfig, step: float
) -> tuple[Comparison, ...]:
    """Judge every comparison, by measure and by loss."""
    pairs = _pairs(each.arm for each in arms.values())
    values = {(a, b): (arms[b].values, arms[a].values) for a, b in pairs}
    measure = config.measure
    evidence = compare(
        values,
        first=config.first_look,
        resolution=step,
        margin=None if config.margin is None else config.margin / measure.scale,
        lower_is_better=measure.lower_is_better,
    )
    losses = {(a, b): (_finite(arms[b]), _finite(arms[a])) for a, b in pairs}
    whole = {pair: sides for pair, sides in losses.items() if all(sides)}
    of_loss = compare(whole, first=config.first_look, lower_is_better=True)
    return tuple(Comparison(*pair, evidence[pair], of_loss.get(pair)) for pair in pairs)


def _finite(arm: ArmResult) -> tuple[float, ...]:
    """Return the losses of an arm; none if one is not finite."""
    return tuple(each for each in arm.loss if each is not None) if None not in arm.loss else ()


def _pairs(arms: Iterable[Arm]) -> list[tuple[str, str]]:
    """Return the pairs to compare: each placement with the baseline and with its controls."""
    return [
        (arm.name, BASELINE) if arm.of is None else (arm.of, arm.name)
        for arm in arms
        if arm.kind != "baseline"
    ]
