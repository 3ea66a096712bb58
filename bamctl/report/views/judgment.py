"""A judgment of results as a report: arms, differences and verdicts."""

from statistics import mean, stdev
from typing import Any

from bamctl.judging.judge import JudgedArm, Judgment
from bamctl.report._wording import SCHEMA, evidence_cells, evidence_data, verdict
from bamctl.report.charts.evidence import differences
from bamctl.report.document import Column, Report, Table
from bamctl.training.evidence import MOST_SEEDS, Evidence
from bamctl.training.measure import Measure


def judgment_report(judgment: Judgment) -> Report:
    """Show the verdicts, what each arm reached, and how it was tested."""
    others = [arm for arm in judgment.arms if arm.evidence]
    verdicts = [_verdict(arm, arm.evidence, judgment) for arm in others if arm.evidence]
    measure = _measure(judgment)
    answer: list[Table | str] = ["\n".join(verdicts), _table(judgment)]
    return Report(
        f"{judgment.metric}, {judgment.better} is better   baseline {judgment.baseline}",
        [*answer, *_left_out(others), _footnote(judgment)],
        {
            "schema": SCHEMA,
            "metric": judgment.metric,
            "better": judgment.better,
            "baseline": judgment.baseline,
            "paired": judgment.is_paired,
            "arms": [_data(arm) for arm in judgment.arms],
        },
        [_record(arm) for arm in judgment.arms],
        charts=[
            differences(
                "Differences",
                "",
                {arm.name: arm.evidence for arm in others if arm.evidence},
                {},
                measure,
            )
        ],
        answer=answer,
    )


def _measure(judgment: Judgment) -> Measure:
    title = f"{judgment.metric} to {judgment.baseline}"
    return Measure(judgment.metric, title, unit="", is_share=False)


def _table(judgment: Judgment) -> Table:
    columns = [
        Column("arm"),
        Column("runs", "right"),
        Column(judgment.metric, "right"),
        Column("", "right"),
        Column("difference", "right"),
        Column("interval", "right"),
        Column("level", "right"),
        Column("verdict"),
    ]
    arms, measure = enumerate(judgment.arms), _measure(judgment)
    sure = [i for i, arm in arms if arm.evidence and arm.evidence.is_settled]
    return Table(columns, [_row(arm, measure) for arm in judgment.arms], frozenset(sure))


def _row(arm: JudgedArm, measure: Measure) -> list[str]:
    values, found = list(arm.values.values()), arm.evidence
    own = [arm.name, str(len(values)), f"{mean(values):.5g}", f"± {stdev(values):.2g}"]
    if found is None:
        return [*own, "", "", "", ""]
    return [*own, *evidence_cells(found, measure)]


def _verdict(arm: JudgedArm, found: Evidence, judgment: Judgment) -> str:
    text = verdict(arm.name, found, _measure(judgment))
    if found.is_settled or not judgment.is_paired:
        return text
    if found.more_seeds is None:
        return f"{text} Not even {MOST_SEEDS} seeds would settle the difference that is seen."
    return (
        f"{text} If the difference is what it seems, {found.more_seeds} more seeds would settle "
        f"it: `bamctl judge --first {found.first} --baseline {judgment.baseline} …` with all of "
        "them."
    )


def _left_out(arms: list[JudgedArm]) -> list[str]:
    return [
        f"Not compared, since one side lacks them: seeds {', '.join(arm.left_out)} of {arm.name}."
        for arm in arms
        if arm.left_out
    ]


def _footnote(judgment: Judgment) -> str:
    if judgment.is_paired:
        how = (
            "Runs are compared seed by seed; the verdicts hold however often seeds are added, if "
            "--first names the number of seeds at the first look"
        )
    else:
        how = (
            "Runs are not paired, so that means of independent runs are compared (Welch's t test); "
            "the verdicts hold for one look at these runs, and pairs would tell more with fewer"
        )
    return f"{how}. The levels are joint: all verdicts together are 95 % sure."


def _data(arm: JudgedArm) -> dict[str, Any]:
    evidence = evidence_data(arm.evidence) if arm.evidence else None
    return {"name": arm.name, "values": arm.values, "evidence": evidence}


def _record(arm: JudgedArm) -> dict[str, Any]:
    values = list(arm.values.values())
    found = evidence_data(arm.evidence) if arm.evidence else {}
    low, high = found.pop("delta_interval", None) or (None, None)
    found.pop("delta_ci95", None)
    return {
        "arm": arm.name,
        "runs": len(values),
        "mean": mean(values),
        "std": stdev(values),
        **found,
        "delta_low": low,
        "delta_high": high,
    }
