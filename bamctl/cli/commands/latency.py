"""`bamctl latency`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bamctl.cli.messages import say, working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    PlacementName,
    Where,
    wanted_placement,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import InputError

if TYPE_CHECKING:
    from bamctl.placement.placement import Placement

Panel = "Measuring"


@dataclass(frozen=True)
class MeasuringOptions:
    """The set-up of a measurement."""

    threads: Annotated[
        int | None, option("Threads of the CPU. [PyTorch's own number]", Panel, min=1, max=1024)
    ] = None
    dtype: Annotated[
        Literal["fp32", "bf16", "fp16"] | None,
        option("Data type of weights and images. [fp32; amp_fp16 for an estimate]", Panel),
    ] = None
    memory_format: Annotated[
        Literal["contiguous", "channels_last"] | None,
        option("Memory format of images and weights. [contiguous, or the profile's]", Panel),
    ] = None
    fuse: Annotated[bool, flag("--fuse", "Fold batch norms first.", Panel)] = False
    compile: Annotated[bool, flag("--compile", "Run under torch.compile.", Panel)] = False
    cuda_graph: Annotated[
        bool, flag("--cuda-graph", "Capture a CUDA graph once, then replay it.", Panel)
    ] = False
    train: Annotated[
        bool, flag("--train", "Time forward and backward, in training mode.", Panel)
    ] = False
    min_seconds: Annotated[
        float | None, option("How long to measure each batch size. [10]", Panel, min=0.1, max=86400)
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options that were passed, by the names of the fields of `Setup`."""
        return {n: value for n, value in vars(self).items() if value and n != "min_seconds"}


def latency(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: PlacementName = None,
    trust: Trust = None,
    device: Annotated[
        list[str] | None,
        option(
            "cpu, cuda, cuda:1 or mps to measure there; a GPU, such as a100, l4 or rtx4090, or a "
            "profile's FILE for an estimate; repeat for several estimates. [cuda where there is "
            "one]",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        option(
            "Compare placements: a file, a shipped one, or an attention module at the sites of "
            "--where; repeat for several.",
            metavar="FILE|NAME|MODULE",
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None, option("Images in a batch; repeat for several. [1]", min=1)
    ] = None,
    per_site: Annotated[
        bool, flag("--per-site", "Show the time of each inserted module alone.")
    ] = False,
    measuring: MeasuringOptions,
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Show what attention does to a network's latency: measured here, or estimated for a GPU."""
    shown.check()
    allow_named(model, trust)
    wanted = wanted_placement("latency", model, placement, where, attention, network)
    devices = device or []
    if compare or len(devices) > 1:
        if per_site:
            raise InputError("--per-site cannot be combined with --compare or several devices")
        return _compare(wanted, compare or [], devices, batch_size or [1], measuring, shown)
    from bamctl.report.views.latency import latency_view
    from bamctl.timing.latency import latency as measure

    with working(f"tracing {wanted.model}") as told:
        found = measure(
            placement=wanted,
            device=devices[0] if devices else None,
            batch_sizes=batch_size or [1],
            per_site=per_site,
            min_seconds=measuring.min_seconds,
            setup=measuring.given(),
            progress=told,
        )
    shown.show(latency_view(found))
    if found.failure is None:
        return 0
    say(f"error: {found.failure}")
    return found.failure.exit_code


def _compare(
    wanted: "Placement",
    names: list[str],
    devices: list[str],
    batch_sizes: list[int],
    measuring: MeasuringOptions,
    shown: OutputOptions,
) -> int:
    from bamctl.report.views.comparison import comparison_view
    from bamctl.timing.comparison import compare, variants_of

    variants = variants_of(names, wanted) if names else {wanted.attention.module: wanted}
    with working(f"tracing {wanted.model}") as told:
        found = compare(
            variants,
            devices=devices,
            batch_sizes=batch_sizes,
            min_seconds=measuring.min_seconds,
            setup=measuring.given(),
            progress=told,
        )
    shown.show(comparison_view(found))
    return 0
