"""The JSON and the records of a comparison."""

from typing import Any

from bamctl.report._wording import CONVENTION, SCHEMA, evidence_data, fraction
from bamctl.training.result import ArmResult, Comparison, Result
from bamctl.training.warnings import warnings
from bamctl.training.watching import key_of_test


def records(result: Result) -> list[dict[str, Any]]:
    measure = result.config.measure.name
    return [
        {"arm": arm.arm.name, "seed": seed, measure: value}
        for arm in result.arms
        for seed, value in zip(result.config.seeds, arm.values, strict=True)
    ]


def data(result: Result) -> dict[str, Any]:
    config = result.config
    return {
        "schema": SCHEMA,
        "model": config.model,
        "input_shape": list(result.trace.input_shape),
        "task": None if config.loop else config.task,
        "measure": config.measure.name,
        "metric": config.measure.title,
        "lower_is_better": config.measure.lower_is_better,
        "data": None if config.loop else config.data.name,
        "train": config.loop and config.loop.function,
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
        "warnings": list(every_warning(result)),
        "missing": list(result.missing),
        "convention": CONVENTION,
    }


def _arm_data(arm: ArmResult, result: Result) -> dict[str, Any]:
    added, measure = arm.arm.added, result.config.measure.name
    return {
        "name": arm.arm.name,
        "kind": arm.arm.kind,
        measure: list(arm.values),
        "loss": list(arm.loss),
        key_of_test(measure): list(arm.test_values) or None,
        "diverged": arm.diverged,
        "added_params": added.params,
        "added_macs": added.macs,
        "params_overhead": fraction(added.params, result.trace.params),
        "macs_overhead": fraction(added.macs, result.trace.macs[""]),
        "seconds_per_step": arm.seconds_per_step,
        "peak_memory_bytes": arm.peak_memory_bytes,
        "curve": [{"step": step, measure: value} for step, value in arm.curve.items()],
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


def every_warning(result: Result) -> tuple[str, ...]:
    """Return what modules cannot do, and why runs could show nothing."""
    found = warnings(result.arms, result.config, result.num_held_out, result.guess)
    return (*result.site_warnings, *found)
