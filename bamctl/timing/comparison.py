"""Latency of several placements on one network: measured in turn, or estimated on devices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamctl.errors import InputError
from bamctl.placement.cost import PlacementCost, place
from bamctl.placement.placement import Placement
from bamctl.placement.requested import trust_named
from bamctl.placement.shipped import find as find_placement
from bamctl.placement.shipped import shipped_names
from bamctl.results import Displayed
from bamctl.timing.measure import Latency, measure_all
from bamctl.timing.measured import with_sites
from bamctl.timing.placed import Estimator, LatencyEstimate
from bamctl.timing.profiles import Profile, find, is_measurable
from bamctl.timing.setup import Setup, default_device
from bamctl.trunk.traced import TracedNetwork

_SECONDS = 10.0


@dataclass(frozen=True)
class Variant:
    """One of the compared placements, with its sites and their cost."""

    name: str
    placement: Placement
    placed: PlacementCost


@dataclass(frozen=True)
class Timing:
    """The latency of a variant beside that of the unmodified network."""

    device: str
    batch_size: int
    variant: Variant
    found: Latency | LatencyEstimate


@dataclass(frozen=True)
class LatencyComparison(Displayed):
    """Latency of several placements on one network, by device, batch size and variant."""

    subject: TracedNetwork
    model: str
    variants: tuple[Variant, ...]
    timings: tuple[Timing, ...]


def variants_of(names: Sequence[str], wanted: Placement) -> dict[str, Placement]:
    """Return the placements that names stand for, on the network of `wanted`.

    Args:
        names: placement files, names of shipped placements, and kinds of attention modules, which
            are put at the sites of `wanted`.
        wanted: the network, and the sites of the kinds.

    Raises:
        InputError: a name stands for nothing, is given twice, or is of another network.
    """
    found: dict[str, Placement] = {}
    for name in names:
        if name in found:
            raise InputError(f"--compare {name} is given twice; give it once")
        placement = _variant(name, wanted)
        if placement.key != wanted.key:
            raise InputError(
                f"{name} is a placement on {placement.model}, and the others are on "
                f"{wanted.model} with other options; compare placements on one network"
            )
        found[name] = placement
    return found


def _variant(name: str, wanted: Placement) -> Placement:
    if name in shipped_names() or name.endswith((".yaml", ".yml")):
        own = find_placement(name)
        own.check_named_by(Path(name), with_network=False)
        return own if own.model else own.with_network(wanted)
    attention = {"module": name}
    trust_named(attention)
    try:
        return wanted.with_options({"attention": attention})
    except InputError as error:
        raise InputError(
            f"--compare {name}: neither a placement file nor a shipped placement, and {error}"
        ) from error


def compare(
    variants: Mapping[str, Placement],
    *,
    devices: Sequence[str] = (),
    batch_sizes: Sequence[int] = (1,),
    min_seconds: float | None = None,
    setup: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyComparison:
    """Measure or estimate the latency of several placements on one network.

    Args:
        variants: the placements, by the names under which they are shown.
        devices: one to measure on, or several devices to estimate for; CUDA where there is one,
            else the CPU, if left out.
        batch_sizes: images in a batch, one result for each.
        min_seconds: how long to measure each batch size, for each placement; 10 if left out.
        setup: fields of a `Setup`, as of `bamctl.latency`.
        progress: is given a line about what is measured.

    Raises:
        InputError: an argument is invalid, or a placement does not fit the network.
        BamctlError: a batch cannot be timed.
    """
    devices, sizes = list(devices) or [default_device()], sorted(set(batch_sizes))
    is_measured = _check_devices(devices)
    chosen = {**(setup or {}), **({} if min_seconds is None else {"min_seconds": min_seconds})}
    profiles = [] if is_measured else [_profile(device, chosen) for device in devices]
    first = next(iter(variants.values()))
    # A device might be faster with weights that are all zero.
    subject = TracedNetwork.load(first, initialize=is_measured)
    placed = tuple(Variant(name, own, place(own, subject)) for name, own in variants.items())
    timings = [t for profile in profiles for t in _estimated(subject, placed, profile, sizes)]
    if is_measured:
        seconds = chosen.pop("min_seconds", _SECONDS)
        own = Setup(device=devices[0], **chosen)
        for size in sizes:
            timings += _measured(subject, placed, own, size, seconds, progress)
    return LatencyComparison(subject, str(first.model), placed, tuple(timings))


def _check_devices(devices: Sequence[str]) -> bool:
    """Return whether the device is one to measure on.

    Raises:
        InputError: it is, and not the only one.
    """
    is_measured = any(map(is_measurable, devices))
    if is_measured and len(devices) > 1:
        raise InputError(
            f"one device at a time to measure on, not {', '.join(devices)}; several are for "
            "estimates"
        )
    return is_measured


def _profile(device: str, setup: Mapping[str, Any]) -> Profile:
    chosen = dict(setup)
    profile = find(device, chosen.pop("dtype", None), chosen.pop("memory_format", None))
    if chosen:
        option = next(iter(chosen)).replace("_", "-")
        raise InputError(f"--{option} applies to measurements only; {profile.name} is an estimate")
    return profile


def _measured(
    subject: TracedNetwork,
    variants: Sequence[Variant],
    setup: Setup,
    batch_size: int,
    min_seconds: float,
    progress: Callable[[str], None],
) -> list[Timing]:
    progress(f"timing {len(variants)} placements, batch {batch_size}")
    found = measure_all(
        subject.network,
        [with_sites(subject.network, each.placed.sites) for each in variants],
        subject.trace.given,
        setup=setup,
        batch_size=batch_size,
        min_seconds=min_seconds,
    )
    return [
        Timing(setup.device, batch_size, variant, own)
        for variant, own in zip(variants, found, strict=True)
    ]


def _estimated(
    subject: TracedNetwork,
    variants: Sequence[Variant],
    profile: Profile,
    sizes: Sequence[int],
) -> list[Timing]:
    estimator = Estimator(subject.network, subject.trace, profile)
    return [
        Timing(
            profile.name,
            size,
            variant,
            estimator.estimate(variant.placed.sites, size, intervals=True),
        )
        for size in sizes
        for variant in variants
    ]
