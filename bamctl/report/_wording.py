"""Words and numbers that several reports share; reports are made without PyTorch."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bamctl import units
from bamctl.attention.kinds import kind_of
from bamctl.attention.settings import Settings
from bamctl.data.task_names import samples_of
from bamctl.report import document
from bamctl.text.lists import few

if TYPE_CHECKING:
    from bamctl.placement.cost import Cost, PlacementCost
    from bamctl.timing.profiles import Profile
    from bamctl.tracing.trace import Trace
    from bamctl.training.config import TrainingConfig
    from bamctl.training.evidence import Evidence
    from bamctl.training.measure import Measure
    from bamctl.trunk.cut_points import Trunk
    from bamctl.trunk.feature_maps import FeatureMap
    from bamctl.trunk.layouts import Layout

SCHEMA = document.SCHEMA

CONVENTION = (
    "Figures are for one image. MACs: multiply-adds of convolution, linear, matmul and attention, "
    "one multiply-add = 1. Elementwise: one operation for each element of every normalisation, "
    "activation, pooling, sum and product. Memory: what training keeps for the backward pass."
)
# The line in place of it under tables; the chapter `bamctl/help/figures.md` has the whole.
CONVENTION_LINE = "Figures are per image; MACs are multiply-adds (`bamctl help figures`)."

_MOST_NAMED = 5


def no_cut_point(model: str, trunk: "Trunk") -> str:
    """Explain that a network has no cut points, and suggest a remedy."""
    names = list(trunk.side_points)
    if not names:
        return (
            f"{model} has no cut points: no module returns one feature map per forward pass. Use "
            "an input with height and width; if the network only calls functions, move the "
            "computation of a map into a module."
        )
    named = few(names, _MOST_NAMED)
    return (
        f"{model} has no cut points: no module returns a feature map that every path through the "
        f"network passes, so the strategies select nothing. These modules return several "
        f"outputs with a map among them; select them by name with --where: {named}."
    )


def nothing_to_place(model: str, trunk: "Trunk") -> str:
    """Explain why a strategy selects nothing in a network, and suggest a remedy."""
    if not trunk.points:
        return no_cut_point(model, trunk)
    bottlenecks, blocks = trunk.bottlenecks("all"), trunk.blocks
    if not bottlenecks and not blocks:
        why, instead = "no bottleneck and no block", "Name a cut point or a glob over them"
    elif not blocks:
        why, instead = "no block", f"Use --where bottleneck ({len(trunk.bottlenecks())} sites)"
    else:
        why = "no bottleneck: no block ends before a stage of lower resolution"
        instead = f"Use --where block ({len(blocks)} sites), or name modules or a glob"
    return f"{model} has {why}. {instead}."


def settings(attention: Settings) -> str:
    """Format the module and every hyperparameter in one line."""
    return kind_of(attention).describe(attention)


def layout_remarks(attention: Settings, layouts: Collection["Layout"]) -> Iterator[str]:
    """Yield how a module treats the layouts of maps other than those of images."""
    kind = kind_of(attention)
    if kind.on_video and any(layout.spatial_axes == 3 for layout in layouts):
        yield f"This network is for video: {kind.on_video}."
    if kind.on_tokens and any(layout.name == "tokens" for layout in layouts):
        yield f"This network works on tokens: {kind.on_tokens}."


def left_out(uncounted: Mapping[str, int]) -> str:
    """List what no figure counts, in a sentence."""
    if not uncounted:
        return "Nothing is left uncounted."
    kinds = ", ".join(f"{kind} ({times}x)" for kind, times in sorted(uncounted.items()))
    return f"Not counted, for lack of a formula: {kinds}."


def estimate_error(profile: "Profile") -> str:
    """State that times are estimated, not measured, and their error."""
    held_out = profile.held_out
    errors = (
        f"times were off by {units.share(held_out.mean_error)} on average and "
        f"{units.share(held_out.max_error)} at most"
    )
    shown = (
        f"Estimated, not measured: {profile.name}, {profile.precision}, {profile.memory_format}, "
        "eager PyTorch."
    )
    if profile.spread is not None and profile.spread.more:
        shown += (
            f" No times in {profile.precision} were published, which widens the interval; taken "
            "are TF32 for convolutions, where there is any, and FP32 for linear layers."
        )
    if profile.known_from == "data_sheet":
        figures = "".join(
            f", and {each.images_per_second:g} images/s of {each.model} at batch {each.batch_size}"
            for each in profile.known
        )
        if profile.known:
            errors = f"times were off by {units.share(profile.mean_error)} on average"
        return (
            f"{shown} Known of it: its data sheet ({profile.source}){figures}; coefficients are "
            f"those of other devices. Of devices left out in this way, {errors}; the ratio of two "
            "times is closer. Intervals hold 90 % of these."
        )
    return (
        f"{shown} Fitted on {profile.source}. Of families held out of the fit, {errors}; that of "
        "an added module may be off by more."
    )


def fraction(part: float, whole: float) -> float:
    """Return `part / whole`, or 0 where the whole is zero."""
    return part / whole if whole else 0.0


def verdict(name: str, found: "Evidence", measure: "Measure") -> str:
    """Return the verdict on an arm, and the differences that are excluded, in a sentence each."""
    margin = f"{measure.scale * (found.margin or 0):g} {measure.unit}".rstrip()
    within = f" within {margin}" if found.verdict == "equivalent" else ""
    text = f"{name}: {found.verdict}{within}."
    if found.excluded is None:
        return text
    excluded = measure.difference(found.excluded)
    return f"{text} A difference of {excluded} or more either way is excluded."


def evidence_cells(found: "Evidence", measure: "Measure") -> list[str]:
    """Return the cells of a comparison: the difference, its interval and level, and the verdict."""
    level = f"{100 * found.confidence:.3g} %"
    return [measure.signed(found.mean), measure.interval(found.interval), level, found.verdict]


def evidence_data(found: "Evidence") -> dict[str, Any]:
    """Return the evidence of a comparison, in the unit of its values."""
    return {
        "delta_mean": found.mean,
        "delta_interval": found.interval,
        "delta_ci95": found.ci95,
        "confidence": found.confidence,
        "first_look": found.first,
        "p_value": found.p_value,
        "margin": found.margin,
        "excluded_difference": found.excluded,
        "detectable_difference": found.detectable,
        "more_seeds": found.more_seeds,
        "verdict": found.verdict,
    }


def attention_data(attention: Settings) -> dict[str, Any]:
    """Return the module and its hyperparameters, by their names in a placement."""
    return {"module": attention.module, **attention.hyperparameters()}


def extents_data(at: "FeatureMap") -> dict[str, int]:
    """Return height and width, and for a video the frames."""
    frames = {"num_frames": at.extents[0]} if len(at.extents) == 3 else {}
    return {**frames, "height": at.height, "width": at.width}


def cost_data(cost: "Cost | str") -> dict[str, Any]:
    """Return a cost, or null with the reason."""
    if isinstance(cost, str):
        return {"added_params": None, "added_macs": None, "reason": cost}
    return {
        "added_params": cost.params,
        "added_macs": cost.macs,
        "added_elementwise_ops": cost.elementwise_ops,
        "added_memory_bytes": cost.memory_bytes,
    }


def overhead_data(placed: "PlacementCost", trace: "Trace") -> dict[str, float]:
    """Return added costs as fractions of the unmodified network's."""
    added = placed.total
    return {
        "params_overhead": fraction(added.params, trace.params),
        "macs_overhead": fraction(added.macs, trace.macs[""]),
    }


def each_step(training: "TrainingConfig") -> str:
    """Return what a step is, to follow `N steps`; a loop of one's own does not say."""
    if training.loop is not None:
        return ""
    return f" of {training.recipe.batch_size} {samples_of(training.task)} each"


def judged_on(training: "TrainingConfig") -> str:
    """Return what the measure is of."""
    if training.loop is not None:
        return "what the loop returns"
    return f"on the held-out {samples_of(training.task)} after the last step"
