"""A comparison as a report: accuracies, costs and verdicts."""

from statistics import mean, stdev
from typing import Any

from bamctl import units
from bamctl.networks import inputs, models
from bamctl.report._wording import (
    CONVENTION,
    CONVENTION_LINE,
    SCHEMA,
    evidence_data,
    fraction,
    settings,
)
from bamctl.report.charts.training import placements, training_charts
from bamctl.report.document import Column, Report, Table
from bamctl.training.config import TrainingConfig
from bamctl.training.curves import sparkline
from bamctl.training.evidence import MOST_SEEDS, Evidence
from bamctl.training.result import ArmResult, Comparison, Result
from bamctl.training.start import QUESTIONS
from bamctl.training.warnings import warnings

_OPEN = "inconclusive"


def training_report(result: Result) -> Report:
    """Show what each arm reached, what it costs, and the verdicts."""
    config = result.config
    heading = f"{config.model}   {inputs.text(config.input)}   {config.data.name}"
    answer = "\n".join(_verdict(each, result) for each in result.comparisons)
    comparisons = _comparison_table(result)
    blocks: list[Table | str] = [
        _what_was_done(result),
        _arm_table(result),
        comparisons,
        answer,
        *([f"No more seeds: {result.stopped}."] if result.stopped else []),
        *_remarks(result),
        _footnote(result),
    ]
    return Report(
        heading,
        blocks,
        _data(result),
        _records(result),
        charts=training_charts(result),
        attachments=placements(result),
        answer=[answer, comparisons],
    )


def _what_was_done(result: Result) -> str:
    recipe, config = result.config.recipe, result.config
    seeds = "1 seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
    return (
        f"{seeds}, {recipe.steps} steps of {recipe.batch_size} images each, {_start(config)}: SGD, "
        f"learning rate {recipe.lr:g}, {recipe.schedule} schedule, {recipe.warmup_steps} steps of "
        f"warm-up, momentum {recipe.momentum:g}, weight decay {recipe.weight_decay:g}. "
        f"{result.num_train:,} images to train on, {result.num_held_out:,} held out to judge by. "
        f"The question: {QUESTIONS[config.start]}?"
    )


def _start(config: TrainingConfig) -> str:
    weights = f"from the weights {config.weights}" if config.weights else "from scratch"
    if not config.trunk_steps:
        return weights
    return f"{config.trunk_steps} of them as the unmodified network, {weights}, once for each seed"


def _arm_table(result: Result) -> Table:
    tested = any(arm.test_accuracy for arm in result.arms)
    columns = [
        Column("arm"),
        Column("accuracy", "right"),
        Column("", "right"),
        *([Column("on the test split", "right")] if tested else []),
        Column("parameters", "right"),
        Column("MACs", "right"),
        Column("time per step", "right"),
        Column("", "right"),
        Column("peak memory", "right"),
        Column("while training"),
    ]
    return Table(columns, [_arm_row(arm, result, tested=tested) for arm in result.arms])


def _arm_row(arm: ArmResult, result: Result, *, tested: bool) -> list[str]:
    base = result.arms[0]
    added = arm.arm.added
    is_base = arm is base
    step = f"{arm.seconds_per_step * 1e3:.1f} ms"
    slower = units.percent(arm.seconds_per_step / base.seconds_per_step - 1)
    row = [arm.arm.name, units.share(mean(arm.accuracy)), _plus_minus(arm.accuracy)]
    if tested:
        row.append(units.share(mean(arm.test_accuracy)))
    row += [
        units.count(result.trace.params) if is_base else f"+{units.count(added.params)}",
        units.count(result.trace.macs[""]) if is_base else f"+{units.count(added.macs)}",
        step,
        "" if is_base else slower,
        units.size(arm.peak_memory_bytes),
        sparkline(arm.curve.values(), *_range(result)),
    ]
    return row


def _range(result: Result) -> tuple[float, float]:
    """Return the lowest and the highest accuracy of all curves, as a shared scale."""
    every = [value for arm in result.arms for value in arm.curve.values()]
    return min(every), max(every)


def _plus_minus(values: tuple[float, ...]) -> str:
    return f"± {100 * stdev(values):.2f}" if len(values) > 1 else ""


def _comparison_table(result: Result) -> Table:
    columns = [
        Column("comparison"),
        Column("measure"),
        Column("difference", "right"),
        Column("interval", "right"),
        Column("level", "right"),
        Column("verdict"),
    ]
    rows: list[list[str]] = []
    sure: set[int] = set()
    for each in result.comparisons:
        name = f"{each.arm} - {each.baseline}"
        measures = [("accuracy, points", each.evidence, 100, ".2f")]
        measures += [("loss", each.loss, 1, ".3g")] if each.loss else []
        for measure, found, scale, precision in measures:
            if found.verdict != _OPEN:
                sure.add(len(rows))
            rows.append([name, measure, *_evidence_row(found, scale, precision)])
            name = ""
    return Table(columns, rows, frozenset(sure))


def _evidence_row(found: Evidence, scale: int, precision: str) -> list[str]:
    ends = [f"{scale * end:+{precision}}" for end in found.interval or ()]
    return [
        f"{scale * found.mean:+{precision}}",
        " to ".join(ends),
        f"{100 * found.confidence:.3g} %",
        found.verdict,
    ]


def _verdict(comparison: Comparison, result: Result) -> str:
    found, seeds = comparison.evidence, len(result.config.seeds)
    against = "" if comparison.baseline == "baseline" else f" against {comparison.baseline}"
    within = (
        f" within {100 * (found.margin or 0):g} points" if found.verdict == "equivalent" else ""
    )
    start = f"{comparison.arm}{against}: {found.verdict}{within}."
    if seeds == 1:
        return f"{start} One seed shows no spread; give --seeds 5."
    if found.excluded is not None:
        start += f" A difference of {_points(found.excluded)} or more either way is excluded."
    if found.verdict != _OPEN:
        return start
    if found.detectable is not None:
        start += f" {seeds} seeds find one of {_points(found.detectable)} 4 times out of 5."
    if found.more_seeds is None:
        return f"{start} Not even {MOST_SEEDS} seeds would settle the difference that is seen."
    flag = models.trust_flag(result.config.model, result.folder)
    options = f"--seeds {seeds + found.more_seeds}{flag}"
    return (
        f"{start} If the difference is what it seems, {found.more_seeds} more would settle it: "
        f"`bamctl train --resume {result.folder} {options}`."
    )


def _points(difference: float) -> str:
    return f"{100 * difference:.2f} points"


def _remarks(result: Result) -> list[str]:
    remarks = [f"Warning: {text}" for text in _warnings(result)]
    remarks += [f"There is {text}." for text in result.missing]
    return ["\n".join(remarks)] if remarks else []


def _warnings(result: Result) -> tuple[str, ...]:
    return (*result.site_warnings, *warnings(result.arms, result.config, result.num_held_out))


def _footnote(result: Result) -> str:
    kinds = dict.fromkeys(
        settings(site.attention)
        for arm in result.arms
        if arm.arm.kind == "placement" and arm.arm.placed
        for site in arm.arm.placed.sites
    )
    several = len(result.comparisons) > 1
    correction = (
        f"The levels are {'Holm' if result.config.margin is None else 'Bonferroni'}'s, so that all "
        "verdicts of a measure together are 95 % sure. "
        if several
        else ""
    )
    return (
        f"{'; '.join(kinds)}.\n"
        "Accuracy: mean and standard deviation over the seeds, on the held-out images, after the "
        "last step; no checkpoint is chosen. Arms share images, augmentation and the initial "
        "weights of common layers, seed by seed; the intervals are of the paired differences, and "
        "hold however often seeds are added and the report is read again. Loss: cross-entropy of "
        f"the held-out images, a finer measure with verdicts of its own. {correction}Time and "
        "peak memory are of the training step, with weights, gradients and momentum.\n"
        f"{CONVENTION_LINE}"
    )


def _records(result: Result) -> list[dict[str, Any]]:
    return [
        {"arm": arm.arm.name, "seed": seed, "accuracy": accuracy}
        for arm in result.arms
        for seed, accuracy in zip(result.config.seeds, arm.accuracy, strict=True)
    ]


def _data(result: Result) -> dict[str, Any]:
    config = result.config
    return {
        "schema": SCHEMA,
        "model": config.model,
        "input_shape": list(result.trace.input_shape),
        "data": config.data.name,
        "num_train": result.num_train,
        "num_held_out": result.num_held_out,
        "seeds": config.seeds,
        "recipe": config.recipe.model_dump(),
        "start": config.start,
        "trunk_steps": config.trunk_steps,
        "weights": config.weights,
        "folder": str(result.folder),
        "params": result.trace.params,
        "macs": result.trace.macs[""],
        "arms": [_arm_data(arm, result) for arm in result.arms],
        "comparisons": [_comparison_data(each) for each in result.comparisons],
        "settled": result.is_settled,
        "stopped": result.stopped,
        "warnings": list(_warnings(result)),
        "missing": list(result.missing),
        "convention": CONVENTION,
    }


def _arm_data(arm: ArmResult, result: Result) -> dict[str, Any]:
    added = arm.arm.added
    return {
        "name": arm.arm.name,
        "kind": arm.arm.kind,
        "accuracy": list(arm.accuracy),
        "loss": list(arm.loss),
        "test_accuracy": list(arm.test_accuracy) or None,
        "diverged": arm.diverged,
        "added_params": added.params,
        "added_macs": added.macs,
        "params_overhead": fraction(added.params, result.trace.params),
        "macs_overhead": fraction(added.macs, result.trace.macs[""]),
        "seconds_per_step": arm.seconds_per_step,
        "peak_memory_bytes": arm.peak_memory_bytes,
        "curve": [{"step": step, "accuracy": value} for step, value in arm.curve.items()],
        "placement": None if arm.arm.placement is None else arm.arm.placement.as_dict(),
    }


def _comparison_data(comparison: Comparison) -> dict[str, Any]:
    loss = comparison.loss
    return {
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "deltas": list(comparison.evidence.deltas),
        **evidence_data(comparison.evidence),
        "loss": loss and {"deltas": list(loss.deltas), **evidence_data(loss)},
    }
