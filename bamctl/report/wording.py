"""Words and numbers that several reports share."""

from typing import Any

from bamctl.cost import Cost, PlacementCost
from bamctl.placement import Attention
from bamctl.tracing import Trace

SCHEMA = 1

CONVENTION = (
    "MACs are the multiply-adds of convolution, linear, matmul and attention for one image, one "
    "multiply-add = 1. Elementwise operations (normalisation, activation, pooling, the gate's own "
    "sigmoid, product and sum) are counted apart, one for each element. Memory is what training "
    "keeps for the backward pass, for one image."
)


def no_bottleneck(model: str, num_blocks: int) -> str:
    """Why `--where bottleneck` has nothing to do in a network, and what to do instead."""
    why = f"{model} has no bottleneck: no block of it ends before a stage of lower resolution."
    if num_blocks:
        return f"{why} Use --where block ({num_blocks} sites), or name modules or a glob."
    return f"{why} Name modules or a glob instead, as in --where layer1."


def settings(attention: Attention) -> str:
    """The module and every hyperparameter, in a line."""
    given = attention.hyperparameters()
    if attention.module == "extra-block":
        return f"One more of the network's own blocks, init {given['init']}"
    return (
        f"BAM, {given['variant']} variant: r={given['reduction']}, d={given['dilation']}, "
        f"{given['dilated_convs']} dilated convolutions, branches {given['branches']}, combine "
        f"{given['combine']}, init {given['init']}"
    )


def left_out(trace: Trace) -> str:
    """What neither number counts, in a sentence."""
    if not trace.uncounted:
        return "No operator is left out."
    kinds = ", ".join(f"{kind} ({times}x)" for kind, times in sorted(trace.uncounted.items()))
    return f"In neither number, for want of a formula: {kinds}."


def fraction(part: int, whole: int) -> float:
    """A part of a whole that may be zero."""
    return part / whole if whole else 0.0


def attention_data(attention: Attention) -> dict[str, Any]:
    """The module and its hyperparameters, under their names in a placement."""
    return {"module": attention.module, **attention.hyperparameters()}


def cost_data(cost: Cost | str) -> dict[str, Any]:
    """A cost, or null with the reason why there is none."""
    if isinstance(cost, str):
        return {"added_params": None, "added_macs": None, "reason": cost}
    return {
        "added_params": cost.params,
        "added_macs": cost.macs,
        "added_elementwise_ops": cost.elementwise_ops,
        "added_memory_bytes": cost.memory_bytes,
    }


def overhead_data(placed: PlacementCost, trace: Trace) -> dict[str, float]:
    """What is added, as a fraction of the network's own."""
    added = placed.total
    return {
        "params_overhead": fraction(added.params, trace.params),
        "macs_overhead": fraction(added.macs, trace.macs[""]),
    }
