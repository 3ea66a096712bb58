"""`latency`: the effect of attention on the latency of a network, measured or estimated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bamctl.attention.settings import Settings
from bamctl.errors import BamctlError, InputError, did_you_mean
from bamctl.networks.inputs import InputsLike
from bamctl.networks.trust import trust
from bamctl.placement.cost import PlacementCost, place
from bamctl.placement.placement import Placement, Stages
from bamctl.placement.requested import of_network, trust_named
from bamctl.results import Displayed
from bamctl.timing.measure import Latency
from bamctl.timing.measured import measure_placed
from bamctl.timing.placed import Estimator, LatencyEstimate
from bamctl.timing.profiles import Profile, find, is_measurable
from bamctl.timing.setup import Setup, default_device
from bamctl.trunk.traced import TracedNetwork

_SECONDS = 10.0


@dataclass(frozen=True)
class LatencyResult(Displayed):
    """Latency of a network without and with the modules of a placement, for each batch size.

    `batches` are either all measured or all estimated. `failure` is why a larger batch could not
    be timed, if so. `per_site` is whether each module was also timed alone.
    """

    subject: TracedNetwork
    placement: Placement
    placed: PlacementCost
    batches: tuple[Latency, ...] | tuple[LatencyEstimate, ...]
    per_site: bool = False
    failure: BamctlError | None = None


def latency(
    model: str | None = None,
    placement: Placement | str | Path | None = None,
    *,
    where: str | Sequence[str] | None = None,
    attention: Settings | Mapping[str, Any] | None = None,
    input_shape: InputsLike | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    device: str | None = None,
    batch_sizes: Sequence[int] = (1,),
    per_site: bool = False,
    min_seconds: float | None = None,
    setup: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> LatencyResult:
    """Measure or estimate the latency of a network without and with attention.

    Args:
        model: a torchvision builder, `timm:NAME` or `package.module:factory`; that of the
            placement if left out.
        placement: a placement, a file, or the name of a shipped one.
        where: strategies, modules or globs, put over those of the placement.
        attention: module and hyperparameters, put over those of the placement.
        input_shape: channels, height and width; what the weights expect if left out.
        num_classes: classes of the head, for a builder.
        stem: `small` for images of about 32x32, for a builder.
        args: more keyword arguments for the builder or factory.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        device: `cpu`, `cuda` or `mps` to measure there; the name of a GPU or the file of a device
            profile to estimate; CUDA where there is one, else the CPU, if left out.
        batch_sizes: images in a batch, one result for each.
        per_site: time each inserted module alone, too.
        min_seconds: how long to measure each batch size; 10 if left out.
        setup: fields of a `Setup`, such as `dtype` and `threads`, for a measurement; of these,
            `dtype` and `memory_format` also choose the profile of an estimate.
        progress: is given a line about what is measured.

    Raises:
        InputError: an argument is invalid, or the placement does not fit the network.
        BamctlError: not even the smallest batch can be timed.
    """
    trust_named(attention, where)
    if model is not None:
        trust(model)
    options = {
        "where": where,
        "attention": attention,
        "input": input_shape,
        "num_classes": num_classes,
        "stem": stem,
        "args": args,
        "stages": stages,
    }
    wanted = of_network(model, placement, options)
    sizes = sorted(set(batch_sizes))
    chosen = dict(setup or {})
    _check_setup(chosen)
    if device is not None and not is_measurable(device):
        profile = find(device, chosen.pop("dtype", None), chosen.pop("memory_format", None))
        measuring = {**chosen, **({} if min_seconds is None else {"min_seconds": min_seconds})}
        return _estimate(wanted, profile, sizes, measuring, per_site)
    return _measure(
        wanted,
        Setup(device=device or default_device(), **chosen),
        sizes,
        _SECONDS if min_seconds is None else min_seconds,
        per_site,
        progress or (lambda text: None),
    )


def _check_setup(setup: Mapping[str, Any]) -> None:
    known = [each.name for each in fields(Setup)]
    for name in setup.keys() - set(known):
        raise InputError(f"setup: unknown option {name!r}{did_you_mean(name, known)}")


def _estimate(
    wanted: Placement,
    profile: Profile,
    sizes: Sequence[int],
    setup: Mapping[str, Any],
    per_site: bool,
) -> LatencyResult:
    if setup:
        raise InputError(
            f"--{next(iter(setup)).replace('_', '-')} applies to measurements only; "
            f"{profile.name} is an estimate ({profile.precision}, {profile.memory_format})"
        )
    traced = TracedNetwork.load(wanted)
    placed = place(wanted, traced)
    estimator = Estimator(traced.network, traced.trace, profile)
    estimates = tuple(estimator.estimate(placed.sites, size, intervals=True) for size in sizes)
    return LatencyResult(traced, wanted, placed, estimates, per_site)


def _measure(
    wanted: Placement,
    setup: Setup,
    sizes: Sequence[int],
    min_seconds: float,
    per_site: bool,
    progress: Callable[[str], None],
) -> LatencyResult:
    """Measure each batch size, up to the first that fails."""
    setup.check()
    # A device might be faster with weights that are all zero.
    traced = TracedNetwork.load(wanted, initialize=True)
    placed = place(wanted, traced)
    found: list[Latency] = []
    failure = None
    for size in sizes:
        progress(f"timing {wanted.model}, batch {size}")
        try:
            found.append(
                measure_placed(
                    traced.network,
                    placed.sites,
                    traced.trace.given,
                    setup=setup,
                    batch_size=size,
                    min_seconds=min_seconds,
                    per_site=per_site,
                )
            )
        except BamctlError as error:
            if not found:
                raise
            failure = error
            break
    return LatencyResult(traced, wanted, placed, tuple(found), per_site, failure)
