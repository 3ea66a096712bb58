"""A comparison as a report: accuracies, costs and verdicts."""

from statistics import mean, stdev

from bamctl import units
from bamctl.data.task_names import samples_of
from bamctl.networks import inputs
from bamctl.report._wording import CONVENTION_LINE, evidence_cells, settings, verdict
from bamctl.report.charts.training import placements, training_charts
from bamctl.report.document import Column, Report, Table
from bamctl.report.views._training_data import data, every_warning, records
from bamctl.training.config import TrainingConfig
from bamctl.training.curves import sparkline
from bamctl.training.evidence import MOST_SEEDS
from bamctl.training.measure import ACCURACY, Measure
from bamctl.training.result import ArmResult, Comparison, Result
from bamctl.training.start import QUESTIONS

_LOSS = Measure("loss", "loss", unit="", is_share=False, lower_is_better=True)


def training_report(result: Result) -> Report:
    """Show what each arm reached, what it costs, and the verdicts."""
    config = result.config
    heading = f"{config.model}   {inputs.text(config.input)}   {config.source}"
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
        data(result),
        records(result),
        charts=training_charts(result),
        attachments=placements(result),
        answer=[answer, comparisons],
    )


def _what_was_done(result: Result) -> str:
    config = result.config
    recipe, noun = config.recipe, samples_of(config.task)
    seeds = "1 seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
    question = f"The question: {QUESTIONS[config.start]}?"
    if config.loop is not None:
        return (
            f"{seeds}, {recipe.steps} steps of {config.loop.function}, {_start(config)}. {question}"
        )
    is_sgd = recipe.optimizer == "sgd"
    optimizer = "SGD" if is_sgd else "AdamW"
    momentum = f"momentum {recipe.momentum:g}, " if is_sgd else ""
    return (
        f"{seeds}, {recipe.steps} steps of {recipe.batch_size} {noun} each, {_start(config)}"
        f"{_arguments(config)}: "
        f"{optimizer}, learning rate {recipe.lr:g}, {recipe.schedule} schedule, "
        f"{recipe.warmup_steps} steps of warm-up, {momentum}weight decay {recipe.weight_decay:g}. "
        f"{result.num_train:,} {noun} to train on, {result.num_held_out:,} held out to judge by. "
        f"{question}"
    )


def _arguments(config: TrainingConfig) -> str:
    """Return the arguments of the builder, which a task may have set."""
    given = ", ".join(f"{name}={value}" for name, value in config.args.items())
    return f", with {given}" if given else ""


def _start(config: TrainingConfig) -> str:
    weights = f"from the weights {config.weights}" if config.weights else "from scratch"
    if not config.trunk_steps:
        return weights
    return f"{config.trunk_steps} of them as the unmodified network, {weights}, once for each seed"


def _arm_table(result: Result) -> Table:
    tested = any(arm.test_values for arm in result.arms)
    columns = [
        Column("arm"),
        Column(result.config.measure.title, "right"),
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
    measure = result.config.measure
    spread = f"± {measure.number(stdev(arm.values))}" if len(arm.values) > 1 else ""
    row = [arm.arm.name, measure.text(mean(arm.values)), spread]
    if tested:
        row.append(measure.text(mean(arm.test_values)))
    row += [
        units.count(result.trace.params) if is_base else f"+{units.count(added.params)}",
        units.count(result.trace.macs[""]) if is_base else f"+{units.count(added.macs)}",
        step,
        "" if is_base else slower,
        units.size(arm.peak_memory_bytes) if arm.peak_memory_bytes else "",
        sparkline(arm.curve.values(), *_range(result)),
    ]
    return row


def _range(result: Result) -> tuple[float, float]:
    """Return the lowest and the highest value of all curves, as a shared scale."""
    every = [value for arm in result.arms for value in arm.curve.values()]
    return min(every), max(every)


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
        measures = [(result.config.measure, each.evidence)]
        measures += [(_LOSS, each.loss)] if each.loss else []
        for measure, found in measures:
            if found.is_settled:
                sure.add(len(rows))
            rows.append([name, measure.heading, *evidence_cells(found, measure)])
            name = ""
    return Table(columns, rows, frozenset(sure))


def _verdict(comparison: Comparison, result: Result) -> str:
    found, seeds = comparison.evidence, len(result.config.seeds)
    against = "" if comparison.baseline == "baseline" else f" against {comparison.baseline}"
    measure = result.config.measure
    start = verdict(f"{comparison.arm}{against}", found, measure)
    if seeds == 1:
        return f"{start} One seed shows no spread; give --seeds 5."
    if found.is_settled:
        return start
    if found.detectable is not None:
        start += (
            f" {seeds} seeds find one of {measure.difference(found.detectable)} 4 times out of 5."
        )
    if found.more_seeds is None:
        return f"{start} Not even {MOST_SEEDS} seeds would settle the difference that is seen."
    flag = result.config.trust_flags(result.folder)
    options = f"--seeds {seeds + found.more_seeds}{flag}"
    return (
        f"{start} If the difference is what it seems, {found.more_seeds} more would settle it: "
        f"`bamctl train --resume {result.folder} {options}`."
    )


def _remarks(result: Result) -> list[str]:
    remarks = [f"Warning: {text}" for text in every_warning(result)]
    remarks += [f"There is {text}." for text in result.missing]
    return ["\n".join(remarks)] if remarks else []


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
        f"{_how_it_was_judged(result.config)} {correction}{_how_it_was_timed(result.config)}\n"
        f"{CONVENTION_LINE}"
    )


def _how_it_was_judged(config: TrainingConfig) -> str:
    intervals = (
        "the intervals are of the paired differences, and hold however often seeds are added and "
        "the report is read again."
    )
    measure = config.measure
    if config.loop is not None:
        direction = "lower" if measure.lower_is_better else "higher"
        return (
            f"{measure.capitalized}: mean and standard deviation over the seeds of what the loop "
            f"returns; {direction} is better. Arms share the seed and the initial weights of "
            f"common layers; {intervals}"
        )
    noun = samples_of(config.task)
    loss = "cross-entropy" if measure.name == ACCURACY else "the loss"
    return (
        f"{measure.capitalized}: mean and standard deviation over the seeds, on the held-out "
        f"{noun}, after the last step; no checkpoint is chosen. Arms share {noun}, augmentation "
        f"and the initial weights of common layers, seed by seed; {intervals} Loss: {loss} of the "
        f"held-out {noun}, a finer measure with verdicts of its own."
    )


def _how_it_was_timed(config: TrainingConfig) -> str:
    if config.loop is not None:
        return "Time is that of the whole loop, for each step."
    return "Time and peak memory are of the training step, with weights, gradients and momentum."
