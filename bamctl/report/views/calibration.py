"""A calibration as a report: the fit or the data sheet, and the errors to be expected."""

from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.report._wording import SCHEMA, estimate_error
from bamctl.report.document import Column, Report, Table
from bamctl.timing.calibration import Calibration
from bamctl.timing.fitting import Error
from bamctl.timing.hardware import Coefficients, Hardware
from bamctl.timing.learning import Learning, LeftOut
from bamctl.timing.profiles import Profile


def calibration_report(found: Calibration, *, every_network: bool) -> Report:
    """Show the coefficients, and the errors by family and, if requested, by network."""
    blocks: list[Table | str] = [
        _coefficients(found.profile, "the times"),
        _summary(found),
        _families(found),
    ]
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


def sheet_report(profile: Profile) -> Report:
    """Show the data sheet of a device, and the coefficients that other devices tell."""
    source = "known figures and other devices" if profile.known else "other devices"
    blocks: list[Table | str] = [
        _peaks(profile),
        _coefficients(profile, source),
        estimate_error(profile),
    ]
    heading = (
        f"{profile.name}   {profile.precision}   {profile.memory_format}   from its data sheet"
    )
    data = {
        "schema": SCHEMA,
        "profile": profile.model_dump(mode="json", by_alias=True),
        "networks": [],
    }
    return Report(heading, blocks, data)


def _peaks(profile: Profile) -> Table:
    columns = [Column("data sheet"), Column("value", "right"), Column("is")]
    rows = [
        [
            name,
            f"{value:g}",
            f"{Hardware.model_fields[name].description}"
            + (" (assumed)" if name in profile.assumed else ""),
        ]
        for name, value in profile.hardware.model_dump(exclude_none=True).items()
    ]
    return Table(columns, rows)


def learning_report(found: Learning) -> Report:
    """Show how well each device is estimated from its data sheet and the other devices."""
    held_out = {each.profile.name: each.profile.held_out for each in found.calibrations}
    records = [
        {
            **_left_out_record(each, found),
            "family_left_out_error": held_out[each.name].mean_error,
        }
        for each in found.left_out
    ]
    times, ratios = found.all_hits
    words = (
        f"Inside of their 90 % intervals, over all devices: {units.share(times)} of times, "
        f"{units.share(ratios)} of the ratios of two networks of a family. One known: the mean "
        "error of the other networks where the time of one is known, over all choices of it. "
        "Family left out: of the profiles fitted to the device, for families of which no device's "
        "times were seen."
    )
    data = {
        "schema": SCHEMA,
        "devices": records,
        "times_inside": times,
        "ratios_inside": ratios,
        "population": found.population.model_dump(mode="json", by_alias=True),
    }
    heading = f"{len(records)} devices, each left out of the fit of the others"
    blocks: list[Table | str] = [_left_out_table(records), words]
    return Report(heading, blocks, data, records)


def _left_out_record(left_out: LeftOut, found: Learning) -> dict[str, Any]:
    summary = left_out.summary
    return {
        "device": left_out.name,
        "num_networks": len(left_out.errors),
        "rank_correlation": summary.rank_correlation,
        "mean_error": summary.mean_error,
        "max_error": summary.max_error,
        "one_known_mean_error": left_out.mean_known_error,
        "one_known_max_error": max(left_out.known_errors),
        "times_inside": found.time_hits[left_out.name],
        "ratios_inside": found.ratio_hits[left_out.name],
    }


def _left_out_table(records: Sequence[dict[str, Any]]) -> Table:
    columns = [
        Column("device left out"),
        Column("networks", "right"),
        Column("rank correlation", "right"),
        Column("data sheet alone", "right"),
        Column("one known", "right"),
        Column("times in 90 %", "right"),
        Column("ratios", "right"),
        Column("family left out", "right"),
    ]
    shares = ("mean_error", "one_known_mean_error", "times_inside", "ratios_inside")
    rows = [
        [
            each["device"],
            str(each["num_networks"]),
            f"{each['rank_correlation']:.4f}",
            *(units.share(each[name]) for name in shares),
            units.share(each["family_left_out_error"]),
        ]
        for each in records
    ]
    return Table(columns, rows)


def _coefficients(profile: Profile, source: str) -> Table:
    columns = [Column("coefficient"), Column("value", "right"), Column("is"), Column("known from")]
    rows = [
        [
            name,
            f"{value:.4g}",
            str(Coefficients.model_fields[name].description),
            "an assumption" if name in profile.assumed else source,
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
