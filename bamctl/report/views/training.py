"""A comparison as a report: accuracies, costs and verdicts."""

from statistics import mean, stdev
from typing import Any

from bamctl import units
from bamctl.networks import inputs, models
from bamctl.report._wording import CONVENTION, SCHEMA, fraction, points, points_interval, settings
from bamctl.report.charts.training import placements, training_charts
from bamctl.report.document import Column, Report, Table
from bamctl.training.curves import sparkline
from bamctl.training.result import ArmResult, Comparison, Result

_OPEN = "inconclusive"


def training_report(result: Result) -> Report:
    """Show what each arm reached, what it costs, and the verdicts."""
    config = result.config
    heading = f"{config.model}   {inputs.text(config.input)}   {config.data.name}"
    blocks: list[Table | str] = [
        _what_was_done(result),
        _arm_table(result),
        _comparison_table(result),
        "\n".join(_verdict(each, result) for each in result.comparisons),
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
    )


def _what_was_done(result: Result) -> str:
    recipe, config = result.config.recipe, result.config
    seeds = "1 seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
    start = f"from the weights {config.weights}" if config.weights else "from scratch"
    return (
        f"{seeds}, {recipe.steps} steps of {recipe.batch_size} images each, {start}: SGD, "
        f"learning rate {recipe.lr:g}, {recipe.schedule} schedule, {recipe.warmup_steps} steps of "
        f"warm-up, momentum {recipe.momentum:g}, weight decay {recipe.weight_decay:g}. "
        f"{result.num_train:,} images to train on, {result.num_held_out:,} held out for evaluation."
    )


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
    levels = {round(c.evidence.confidence, 4) for c in result.comparisons}
    interval = "95 % interval" if levels == {0.95} else "interval"
    columns = [
        Column("comparison"),
        Column("points", "right"),
        Column(interval, "right"),
        Column("bootstrap", "right"),
        Column("level", "right"),
        Column("verdict"),
    ]
    rows = [
        [
            f"{each.arm} - {each.baseline}",
            points(each.evidence.mean),
            points_interval(each.evidence.interval),
            points_interval(each.evidence.bootstrap),
            f"{100 * each.evidence.confidence:.3g} %",
            each.evidence.verdict,
        ]
        for each in result.comparisons
    ]
    sure = {i for i, each in enumerate(result.comparisons) if each.evidence.verdict != _OPEN}
    return Table(columns, rows, frozenset(sure))


def _verdict(comparison: Comparison, result: Result) -> str:
    found, seeds = comparison.evidence, len(result.config.seeds)
    against = "" if comparison.baseline == "baseline" else f" against {comparison.baseline}"
    start = f"{comparison.arm}{against}: {found.verdict}."
    if found.interval is None or found.detectable is None:
        return f"{start} One seed gives no interval; use --seeds 5."
    seen = (
        f"{seeds} seeds detect a true difference of {100 * found.detectable:.2f} points with 80 % "
        "power."
    )
    if found.verdict != _OPEN:
        return f"{start} {seen}"
    if found.more_seeds is None:
        return f"{start} {seen} At the observed difference, no number of seeds would settle it."
    flag = models.trust_flag(result.config.model, result.folder)
    options = f"--seeds {seeds + found.more_seeds}{flag}"
    return (
        f"{start} {seen} At the observed difference, {found.more_seeds} more would settle "
        f"it: `bamctl train --resume {result.folder} {options}`."
    )


def _remarks(result: Result) -> list[str]:
    remarks = [
        f"{arm.arm.name}: {arm.diverged} of {len(arm.accuracy)} runs diverged, counted at "
        "chance accuracy."
        for arm in result.arms
        if arm.diverged
    ]
    remarks += [f"There is {text}." for text in result.missing]
    return ["\n".join(remarks)] if remarks else []


def _footnote(result: Result) -> str:
    kinds = dict.fromkeys(
        settings(arm.arm.placement.attention)
        for arm in result.arms
        if arm.arm.kind == "placement" and arm.arm.placement
    )
    several = len(result.comparisons) > 1
    correction = (
        "The levels are Holm-corrected: all verdicts together hold at 95 %. " if several else ""
    )
    return (
        f"{'; '.join(kinds)}.\n"
        "Accuracy: mean and standard deviation over the seeds, on the held-out images, after the "
        "last step; no checkpoint is chosen. Arms share images, augmentation and the initial "
        "weights of common layers, seed by seed; the intervals are of the paired differences (t, "
        f"and bootstrap). {correction}Time and peak memory are of the training "
        "step, with weights, gradients and momentum.\n"
        f"{CONVENTION}"
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
        "weights": config.weights,
        "folder": str(result.folder),
        "params": result.trace.params,
        "macs": result.trace.macs[""],
        "arms": [_arm_data(arm, result) for arm in result.arms],
        "comparisons": [_comparison_data(each) for each in result.comparisons],
        "missing": list(result.missing),
        "convention": CONVENTION,
    }


def _arm_data(arm: ArmResult, result: Result) -> dict[str, Any]:
    added = arm.arm.added
    return {
        "name": arm.arm.name,
        "kind": arm.arm.kind,
        "accuracy": list(arm.accuracy),
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
    found = comparison.evidence
    return {
        "arm": comparison.arm,
        "baseline": comparison.baseline,
        "deltas": list(found.deltas),
        "delta_mean": found.mean,
        "delta_ci95": found.ci95,
        "delta_interval": found.interval,
        "delta_bootstrap": found.bootstrap,
        "confidence": found.confidence,
        "p_value": found.p_value,
        "detectable_difference": found.detectable,
        "more_seeds": found.more_seeds,
        "verdict": found.verdict,
    }
