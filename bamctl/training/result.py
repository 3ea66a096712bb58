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
from bamctl.training.run_folder import RunFolder
from bamctl.trunk.cut_points import Trunk


@dataclass(frozen=True)
class ArmResult:
    """The result of one arm.

    `accuracy` and `loss` are of the held-out images after the last step, one for each seed; so is
    `test_accuracy` of the test images, if requested. A loss that is not finite is None. `curve` has
    the mean over the seeds at each evaluation, by step. `diverged` is the number of diverged runs,
    whose accuracy is set to chance. `train_loss` is the mean since the evaluation before the last.
    """

    arm: Arm
    accuracy: tuple[float, ...]
    loss: tuple[float | None, ...]
    train_loss: tuple[float | None, ...]
    test_accuracy: tuple[float, ...]
    curve: dict[int, float]
    diverged: int
    seconds_per_step: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Comparison:
    """One arm against another.

    `evidence` is that of the accuracy, which alone makes the verdict. `loss` is that of the
    held-out loss, a finer measure with verdicts of its own; None if a run diverged.
    """

    arm: str
    baseline: str
    evidence: Evidence
    loss: Evidence | None

    @property
    def is_settled(self) -> bool:
        """Whether the accuracies have a verdict."""
        return self.evidence.verdict != "inconclusive"


@dataclass(frozen=True)
class Result(Displayed):
    """The result of a comparison.

    `site_warnings` say what modules cannot do on their maps. `stopped` says why no more seeds were
    added, where they are added until all is settled.
    """

    folder: Path
    config: TrainingConfig
    trace: Trace
    trunk: Trunk
    num_train: int
    num_held_out: int
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
    data: Data,
) -> Result:
    """Evaluate a comparison whose runs are all finished."""
    found = {arm.name: _arm_result(folder, arm, config) for arm in made.arms}
    return Result(
        folder=folder.path,
        config=config,
        trace=made.trace,
        trunk=made.trunk,
        num_train=len(data.train),
        num_held_out=len(data.held_out),
        arms=tuple(found.values()),
        comparisons=_comparisons(found, config, 1 / len(data.held_out)),
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
    by_seed = [folder.evaluations(arm.name, seed) for seed in config.seeds]
    last = [own[-1] for own in by_seed]
    timing = [line for line in folder.timing.lines if line["arm"] == arm.name]
    timing = [line for line in timing if line["seed"] in config.seeds]
    return ArmResult(
        arm=arm,
        accuracy=tuple(line["accuracy"] for line in last),
        loss=tuple(line.get("loss") for line in last),
        train_loss=tuple(line.get("train_loss") for line in last),
        test_accuracy=tuple(line["test_accuracy"] for line in last if "test_accuracy" in line),
        curve=_mean_curve(by_seed, config.evaluated_at()),
        diverged=sum(line["diverged"] for line in last),
        seconds_per_step=median(line["seconds_per_step"] for line in timing),
        peak_memory_bytes=max(line["peak_memory_bytes"] for line in timing),
    )


def _mean_curve(by_seed: list[list[dict[str, Any]]], steps: tuple[int, ...]) -> dict[int, float]:
    """Return the mean over the seeds by step; a diverged run keeps its last accuracy."""

    def at(lines: list[dict[str, Any]], step: int) -> float:
        before = [line for line in lines if line["step"] <= step]
        return float((before or lines)[-1]["accuracy"])

    return {step: mean(at(lines, step) for lines in by_seed) for step in steps}


def _comparisons(
    arms: Mapping[str, ArmResult], config: TrainingConfig, resolution: float
) -> tuple[Comparison, ...]:
    """Judge every comparison, by accuracy and by loss."""
    pairs = _pairs(each.arm for each in arms.values())
    accuracies = {(a, b): (arms[b].accuracy, arms[a].accuracy) for a, b in pairs}
    margin = None if config.margin is None else config.margin / 100
    evidence = compare(accuracies, first=config.first_look, resolution=resolution, margin=margin)
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
