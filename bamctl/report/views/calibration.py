"""A calibration as a report: the fit, and its error for networks left out of it."""

from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.report._wording import SCHEMA
from bamctl.report.document import Column, Report, Table
from bamctl.timing.calibration import Calibration
from bamctl.timing.fitting import Error
from bamctl.timing.hardware import Coefficients


def calibration_report(found: Calibration, *, every_network: bool) -> Report:
    """Show the coefficients, and the errors by family and, if requested, by network."""
    blocks: list[Table | str] = [_coefficients(found), _summary(found), _families(found)]
    if every_network:
        blocks.append(_networks(found))
    blocks.append(
        "Error: mean absolute relative error of the estimated time. Left out: by a fit "
        "without the network's family, as to be expected for an unseen network."
    )
    profile = found.profile
    heading = f"{profile.name}   {profile.precision}   {profile.memory_format}"
    records = [_record(fitted, unseen) for fitted, unseen in _paired(found)]
    data = {
        "schema": SCHEMA,
        "profile": profile.model_dump(mode="json", by_alias=True),
        "networks": records,
    }
    return Report(heading, blocks, data, records)


def _coefficients(found: Calibration) -> Table:
    columns = [Column("coefficient"), Column("value", "right"), Column("is"), Column("known from")]
    profile = found.profile
    rows = [
        [
            name,
            f"{value:.4g}",
            str(Coefficients.model_fields[name].description),
            "an assumption" if name in profile.assumed else "the times",
        ]
        for name, value in profile.coefficients.model_dump().items()
    ]
    return Table(columns, rows)


def _summary(found: Calibration) -> str:
    profile = found.profile
    held_out = profile.held_out
    batches = ", ".join(map(str, profile.batch_sizes))
    return (
        f"Fitted on {profile.source}, batch {batches}. Mean error "
        f"{units.share(profile.mean_error)} in the fit and {units.share(held_out.mean_error)} left "
        f"out, at most {units.share(held_out.max_error)}; rank correlation left out "
        f"{held_out.rank_correlation:.4f}."
    )


def _families(found: Calibration) -> Table:
    columns = [
        Column("family left out"),
        Column("networks", "right"),
        Column("error in the fit", "right"),
        Column("error left out", "right"),
    ]
    rows = []
    for family in found.profile.held_out.families:
        pairs = [pair for pair in _paired(found) if pair[0].family == family]
        fitted, unseen = ([pair[side] for pair in pairs] for side in (0, 1))
        number = len({each.model for each in fitted})
        rows.append([family, str(number), _mean(fitted), _mean(unseen)])
    return Table(columns, rows)


def _mean(errors: Sequence[Error]) -> str:
    return units.share(sum(abs(each.error) for each in errors) / len(errors))


def _networks(found: Calibration) -> Table:
    columns = [
        Column("network"),
        Column("batch", "right"),
        Column("time", "right"),
        Column("estimate", "right"),
        Column("error", "right"),
        Column("left out", "right"),
    ]
    rows = [
        [
            fitted.model,
            str(fitted.batch_size),
            units.duration(fitted.measured_seconds),
            units.duration(fitted.estimated_seconds),
            f"{100 * fitted.error:+.1f} %",
            f"{100 * unseen.error:+.1f} %",
        ]
        for fitted, unseen in _paired(found)
    ]
    return Table(columns, rows)


def _paired(found: Calibration) -> list[tuple[Error, Error]]:
    """Return the error of each network's time, in the fit and left out of it."""
    unseen = {(each.model, each.batch_size): each for each in found.held_out}
    return [(each, unseen[each.model, each.batch_size]) for each in found.fitted]


def _record(fitted: Error, unseen: Error) -> dict[str, Any]:
    return {
        "model": fitted.model,
        "family": fitted.family,
        "batch_size": fitted.batch_size,
        "measured_ms": 1e3 * fitted.measured_seconds,
        "estimated_ms": 1e3 * fitted.estimated_seconds,
        "error": fitted.error,
        "held_out_estimated_ms": 1e3 * unseen.estimated_seconds,
        "held_out_error": unseen.error,
    }
