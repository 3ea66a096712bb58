"""A search as a report: the front after training, and what is level."""

from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.nas.goals import Goal, parse_goal
from bamctl.nas.result import Candidate, SearchResult
from bamctl.placement.metrics import Amount
from bamctl.placement.warnings import site_warnings
from bamctl.report._wording import (
    CONVENTION_LINE,
    each_step,
    evidence_cells,
    evidence_data,
    fraction,
    judged_on,
)
from bamctl.report.charts.search import placements, search_charts
from bamctl.report.document import Column, Report, Table
from bamctl.report.views.search_plan import (
    added_data,
    base_figures,
    common_data,
    counted,
    figure_columns,
    figures,
    heading,
    summary,
)
from bamctl.text.lists import few
from bamctl.training.curves import sparkline
from bamctl.training.measure import ACCURACY, Measure
from bamctl.training.start import QUESTIONS
from bamctl.training.tasks.tasks import task_named
from bamctl.training.warnings import value_warnings

_MOST_NAMED = 8
# The key of the values with each seed, where it is not `values`.
_EACH = {ACCURACY: "accuracies"}


def _added(candidate: Candidate) -> dict[Goal, Amount]:
    return {parse_goal(name): value for name, value in candidate.added.items()}


def search_report(result: SearchResult) -> Report:
    """Show the front, its confirmation on fresh seeds, and the importance of parameters."""
    setup, measure = result.setup, result.config.training.measure
    answer = [_front_table(result), *_level(result), *_verdicts(result)]
    blocks: list[Table | str] = [
        _what_was_done(result),
        *answer,
        *_importance(result),
        *_remarks(result),
        _footnote(result),
    ]
    data = {
        **common_data(setup),
        "folder": str(result.folder),
        "recipe": result.config.training.recipe.model_dump(),
        "seeds": result.config.training.seeds,
        "start": result.config.training.start,
        "trunk_steps": result.config.training.trunk_steps,
        "confirmation_start": result.config.confirm_start or result.config.training.start,
        "confirmation_seeds": list(result.seeds),
        "trials": [_trial_data(each, result) for each in result.trials],
        "failed": result.failed,
        "front": [_trial_data(each, result) for each in result.front],
        "level": [each.name for each in result.level],
        "max_steps": result.config.max_steps,
        "hypervolume": list(result.volume),
        "importance": result.importance.shares,
        "importance_by_noise": result.importance.noise,
        "warnings": _warnings(result),
    }
    records = [
        {"trial": each.number, "name": each.name, measure.name: _value(each, measure)}
        | {"steps": each.steps}
        | added_data(_added(each))
        for each in result.trials
    ]
    return Report(
        heading(setup),
        blocks,
        data,
        records,
        charts=search_charts(result),
        attachments=placements(result),
        answer=answer,
    )


def _what_was_done(result: SearchResult) -> str:
    config = result.config
    seeds = len(config.training.seeds)
    steps = " to ".join(dict.fromkeys(map(str, (config.steps()[0], config.steps()[-1]))))
    return (
        f"{len(result.trials)} candidates of {steps} steps{each_step(config.training)}, with "
        f"{'1 seed' if seeds == 1 else f'{seeds} seeds'}, proposed by {config.sampler}."
        f"{_race_text(result)} The question: {QUESTIONS[config.training.start]}? "
        f"{counted(result.setup.costs)} Hypervolume over trials: "
        f"{sparkline(_thinned(result.volume), 0.0, 1.0)} {result.volume[-1]:.3f}."
    )


def _race_text(result: SearchResult) -> str:
    if result.config.max_steps is None:
        return ""
    most = max(len(each.scores) for each in result.trials)
    left = sum(len(each.scores) == most for each in result.trials)
    return (
        f" More seeds, up to {most}, for what the pairs did not rule out: {left} are left. At most "
        f"{result.config.max_steps:,} steps in all."
    )


def _thinned(values: Sequence[float], most: int = 40) -> list[float]:
    step = -(-len(values) // most)
    return list(values)[::step]


def _value(candidate: Candidate, measure: Measure) -> float:
    return measure.goodness(candidate.score)


def _front_table(result: SearchResult) -> Table:
    measure = result.config.training.measure
    columns = [
        Column("front"),
        Column(measure.title, "right"),
        Column("", "right"),
        *(column for goal in result.setup.costs.goals for column in figure_columns(goal)),
        Column("placement"),
    ]
    rows = [
        [
            each.name,
            measure.text(_value(each, measure)),
            measure.signed(measure.goodness(each.delta)) if any(each.codes) else "",
            *figures(_added(each), result.setup),
            summary(result.setup.space.sites(each.codes)),
        ]
        for each in result.front
    ]
    return Table(columns, rows)


def _level(result: SearchResult) -> list[str]:
    """Return which candidates are level with the most accurate one, and offer the cheapest."""
    if len(result.level) < 2:
        return []
    cheapest = result.level[0]
    named = few([each.name for each in result.level], _MOST_NAMED)
    text = f"These {len(result.level)} are level, the pairs cannot tell them apart: {named}. "
    if not any(cheapest.codes):
        return [f"{text}The unmodified network is among them: no placement is shown to be better."]
    return [f"{text}The cheapest of them is {cheapest.name}: {result.files.get(cheapest.name, '')}"]


def _verdicts(result: SearchResult) -> list[Table | str]:
    if not result.evidence:
        return []
    measure = result.config.training.measure
    columns = [
        Column("on fresh seeds"),
        Column(measure.unit or measure.title, "right"),
        Column("interval", "right"),
        Column("level", "right"),
        Column("verdict"),
        Column("file"),
    ]
    scratch = ", from scratch" if result.config.confirms_from_scratch else ""
    rows = [
        [
            f"{name} - baseline{scratch}",
            *evidence_cells(found, measure),
            str(result.files[name]),
        ]
        for name, found in result.evidence.items()
    ]
    sure = [i for i, found in enumerate(result.evidence.values()) if found.is_settled]
    return [Table(columns, rows, frozenset(sure))]


def _importance(result: SearchResult) -> list[str]:
    found, trials = result.importance, len(result.trials)
    if not found.shares:
        return []
    title = result.config.training.measure.title
    if not found.shown:
        return [
            f"By fANOVA, none of the {len(found.shares)} choices explains more of the "
            f"{title} than noise would over {trials} trials."
        ]
    listed = ", ".join(f"{name} {units.share(share)}" for name, share in found.shown.items())
    return [
        f"Of the variance in {title}, by fANOVA: {listed}; noise alone would give up to "
        f"{units.share(found.noise)} over {trials} trials."
    ]


def _warnings(result: SearchResult) -> list[str]:
    """Return what the modules of the front cannot do, and why trials could show nothing."""
    setup, training = result.setup, result.config.training
    sites = dict.fromkeys(site for each in result.front for site in setup.space.sites(each.codes))
    found = site_warnings(
        sites, model=training.model, stem=training.stem, network=setup.subject.network
    )
    if setup.data is None:
        return found
    held_out, measure = setup.data.held_out, training.measure
    runs = [measure.goodness(score) for each in result.trials for score in each.scores]
    guess = task_named(training.task).guess(held_out, setup.data)
    return [*found, *value_warnings(runs, measure, guess, len(held_out))]


def _remarks(result: SearchResult) -> list[str]:
    remarks = [f"Warning: {text}" for text in _warnings(result)]
    remarks += [f"{name}: not trained, {reason}." for name, reason in result.failed.items()]
    return ["\n".join(remarks)] if remarks else []


def _footnote(result: SearchResult) -> str:
    fresh = (
        f" The second table is of {len(result.seeds)} fresh seeds, since the best of many is "
        "partly chance; its levels are Holm-corrected: all verdicts together hold at 95 %."
        if result.evidence
        else ""
    )
    measure, training = result.config.training.measure, result.config.training
    return (
        f"Front: no other candidate is both as good and as cheap. {measure.capitalized}: "
        f"{judged_on(training)}, followed by the difference to the baseline with the same "
        f"seeds.{fresh} Hypervolume: dominated share of the box between the worst and the best "
        f"value of every objective.\n{CONVENTION_LINE}"
    )


def _trial_data(candidate: Candidate, result: SearchResult) -> dict[str, Any]:
    measure = result.config.training.measure
    base = {goal.name: value for goal, value in base_figures(result.setup).items()}
    data = {
        "number": candidate.number,
        "name": candidate.name,
        "placement": candidate.placement and candidate.placement.as_dict(),
        measure.name: _value(candidate, measure),
        _EACH.get(measure.name, "values"): list(map(measure.goodness, candidate.scores)),
        "delta": measure.goodness(candidate.delta),
        "steps": candidate.steps,
        **added_data(_added(candidate)),
        "params_overhead": fraction(candidate.added["params"], base["params"]),
        "macs_overhead": fraction(candidate.added["macs"], base["macs"]),
    }
    found = result.evidence.get(candidate.name)
    if found is not None:
        data["file"] = str(result.files[candidate.name])
        data["confirmed"] = evidence_data(found)
    return data
