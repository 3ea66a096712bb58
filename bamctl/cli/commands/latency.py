"""`bamctl latency`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    OutputOptions,
    PlacementName,
    Where,
    flag,
    option,
    say,
    wanted_placement,
    working,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import BamctlError, InputError

if TYPE_CHECKING:
    from bamctl.placement.placement import Placement
    from bamctl.report.document import Report
    from bamctl.timing.measure import Latency
    from bamctl.timing.profiles import Profile
    from bamctl.timing.setup import Setup

Panel = "Measuring"
DEFAULT_SECONDS = 10.0


@dataclass(frozen=True)
class MeasuringOptions:
    """How networks run while they are measured."""

    threads: Annotated[
        int | None, option("Threads of the CPU. [PyTorch's own number]", Panel, min=1, max=1024)
    ] = None
    dtype: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, option("Of weights and images. [fp32]", Panel)
    ] = None
    memory_format: Annotated[
        Literal["contiguous", "channels_last"] | None,
        option("Order of images and weights in memory. [contiguous]", Panel),
    ] = None
    fuse: Annotated[bool, flag("--fuse", "Fold batch norms first.", Panel)] = False
    compile: Annotated[bool, flag("--compile", "Run under torch.compile.", Panel)] = False
    cuda_graph: Annotated[bool, flag("--cuda-graph", "Capture once, then replay.", Panel)] = False
    train: Annotated[
        bool, flag("--train", "Time forward and backward, in training mode.", Panel)
    ] = False
    min_seconds: Annotated[
        float | None, option("How long to measure each batch size. [10]", Panel, min=0.1, max=86400)
    ] = None

    def given(self) -> list[str]:
        """The options that were given, as they are written."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value]

    def setup(self, device: str) -> "Setup":
        """The same with the defaults filled in."""
        from bamctl.timing.setup import Setup

        return Setup(
            device=device,
            threads=self.threads,
            dtype=self.dtype or "fp32",
            memory_format=self.memory_format or "contiguous",
            fuse=self.fuse,
            compile=self.compile,
            cuda_graph=self.cuda_graph,
            train=self.train,
        )


def latency(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: PlacementName = None,
    trust: Trust = None,
    device: Annotated[
        str | None,
        option(
            "cpu, cuda, cuda:1 or mps to measure there; rtx3090, rtx4090, rtx5090, "
            "rtxpro6000maxq or a profile's FILE for an estimate. [cuda where there is one]",
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None, option("Images in a batch; repeat for several. [1]", min=1)
    ] = None,
    per_site: Annotated[
        bool, flag("--per-site", "Show what each inserted module takes alone.")
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
    from bamctl.timing.profiles import find, is_measurable

    profile = find(device) if device and not is_measurable(device) else None
    if profile and (given := measuring.given()):
        raise InputError(
            f"{given[0]} is for measuring; {profile.name} is estimated ({profile.precision}, "
            f"{profile.memory_format})"
        )
    sizes = sorted(set(batch_size or [1]))
    with working(f"looking at {wanted.model}") as told:
        if profile is not None:
            report, failure = _estimate(wanted, profile, sizes, per_site), None
        else:
            report, failure = _measure(wanted, measuring, device, sizes, per_site, told)
    shown.show(report)
    if failure is None:
        return 0
    say(f"error: {failure}")
    return failure.exit_code


def _estimate(
    wanted: "Placement", profile: "Profile", sizes: list[int], per_site: bool
) -> "Report":
    from bamctl.budgets.figures import price
    from bamctl.report.views.latency import estimate_report
    from bamctl.timing.placed import Estimator
    from bamctl.trunk.traced import TracedNetwork

    traced = TracedNetwork.load(wanted)
    priced = price(traced, wanted)
    estimator = Estimator(traced.network, traced.trace, profile)
    estimates = [estimator.estimate(priced.placed.sites, size) for size in sizes]
    return estimate_report(priced, estimates, per_site=per_site)


def _measure(
    wanted: "Placement",
    measuring: MeasuringOptions,
    device: str | None,
    sizes: list[int],
    per_site: bool,
    told: Callable[[str], None],
) -> "tuple[Report, BamctlError | None]":
    """The times of each batch size, up to the first that cannot be taken, and why it cannot.

    Raises:
        BamctlError: not even the smallest batch can be timed.
    """
    from bamctl.budgets.figures import price
    from bamctl.report.views.latency import latency_report
    from bamctl.timing.placed import measure_placed
    from bamctl.timing.setup import default_device
    from bamctl.trunk.traced import TracedNetwork

    setup = measuring.setup(device or default_device())
    setup.check()
    # Of weights that are all zero, a device might make short work.
    traced = TracedNetwork.load(wanted, initialize=True)
    priced = price(traced, wanted)
    found: list[Latency] = []
    failure = None
    for size in sizes:
        told(f"timing {wanted.model}, batch {size}")
        try:
            each = measure_placed(
                traced.network,
                priced.placed.sites,
                traced.trace.given,
                setup=setup,
                batch_size=size,
                min_seconds=measuring.min_seconds or DEFAULT_SECONDS,
                per_site=per_site,
            )
        except BamctlError as error:
            if not found:
                raise
            failure = error
            break
        found.append(each)
    return latency_report(priced, found), failure
