"""A sensitivity analysis as a report: the gain of each site alone, and added to the others."""

from statistics import mean
from typing import Any

from bamctl.nas.sensitivity import ALL, Sensitivity
from bamctl.networks import inputs
from bamctl.report._wording import (
    SCHEMA,
    attention_data,
    each_step,
    evidence_data,
    judged_on,
    settings,
)
from bamctl.report.chart import Plot
from bamctl.report.charts.evidence import differences
from bamctl.report.document import Column, Report, Table
from bamctl.training.arms import BASELINE
from bamctl.training.config import TrainingConfig
from bamctl.training.evidence import Evidence
from bamctl.training.measure import Measure


def sensitivity_report(training: TrainingConfig, found: Sensitivity) -> Report:
    """Show which sites carry the gain."""
    heading = f"{training.model}   {inputs.text(training.input)}   {training.source}"
    measure = training.measure
    reached = {name: measure.text(mean(each)) for name, each in found.values.items()}
    text = (
        f"{len(training.seeds)} seeds, {training.recipe.steps} steps{each_step(training)}. "
        f"Without attention {reached[BASELINE]}, with all sites {reached[ALL]}: "
        f"{_told(found.together, measure)}."
    )
    footnote = (
        f"Differences of the {measure.heading}: {judged_on(training)}. "
        "Alone: this site against none. Added last: all sites against all but this one. A site "
        "with a large gain alone and a small one added last is redundant with others. Intervals "
        "are of the paired differences; the verdicts hold together at 95 %.\n"
        f"{'; '.join(dict.fromkeys(settings(each.site.attention) for each in found.sites))}."
    )
    blocks: list[Table | str] = [text, _table(found, measure), footnote]
    return Report(
        heading,
        blocks,
        _data(training, found),
        _rows(found),
        charts=[_chart(found, measure)],
        answer=blocks[:2],
    )


def _told(evidence: Evidence, measure: Measure) -> str:
    difference = f"{measure.signed(evidence.mean)} {measure.unit}".rstrip()
    return f"{difference}{_interval(evidence, measure)}, {evidence.verdict}"


def _interval(evidence: Evidence, measure: Measure) -> str:
    interval = measure.interval(evidence.interval)
    return f" ({interval})" if interval else ""


def _chart(found: Sensitivity, measure: Measure) -> Plot:
    sites = {each.site.name: each for each in found.sites}
    alone = {f"{name} alone": each.alone for name, each in sites.items()}
    last = {f"{name} added last": each.added_last for name, each in sites.items()}
    return differences(
        "Gain of each site",
        "Paired differences with the intervals of their verdicts.",
        {**alone, **last},
        {},
        measure,
    )


def _table(found: Sensitivity, measure: Measure) -> Table:
    columns = [
        Column("site"),
        Column("alone", "right"),
        Column("", "left"),
        Column("added last", "right"),
        Column("", "left"),
    ]
    rows = [
        [
            each.site.name,
            f"{measure.signed(each.alone.mean)}{_interval(each.alone, measure)}",
            each.alone.verdict,
            f"{measure.signed(each.added_last.mean)}{_interval(each.added_last, measure)}",
            each.added_last.verdict,
        ]
        for each in found.sites
    ]
    return Table(columns, rows)


def _data(training: TrainingConfig, found: Sensitivity) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": training.model,
        "data": training.data.name,
        "seeds": training.seeds,
        "recipe": training.recipe.model_dump(),
        "task": training.task,
        training.measure.name: {name: list(each) for name, each in found.values.items()},
        "together": evidence_data(found.together),
        "sites": [
            {
                "module": each.site.name,
                "attention": attention_data(each.site.attention),
                "alone": evidence_data(each.alone),
                "added_last": evidence_data(each.added_last),
            }
            for each in found.sites
        ],
    }


def _rows(found: Sensitivity) -> list[dict[str, Any]]:
    return [
        {
            "module": each.site.name,
            "alone": each.alone.mean,
            "alone_verdict": each.alone.verdict,
            "added_last": each.added_last.mean,
            "added_last_verdict": each.added_last.verdict,
        }
        for each in found.sites
    ]
