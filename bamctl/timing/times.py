"""Times of networks on one device, with the kernels of these networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing._beliefs import Belief, Stack
from bamctl.timing._estimate import KernelTable
from bamctl.timing._kernels import Precision, lower
from bamctl.timing._observations import Observation
from bamctl.timing.fitting import Error, Sample, errors, stacked
from bamctl.timing.hardware import Hardware, MemoryFormat
from bamctl.timing.sheets import known_sheet
from bamctl.tracing.trace import trace

Progress = Callable[[str], None]
# The kernels of networks that were traced before, by name, side of the image and precision.
Traced = dict[tuple[str, int, Precision], KernelTable]


@dataclass(frozen=True)
class Times:
    """Times of one device, published or measured."""

    name: str
    hardware: Hardware
    precision: Precision
    memory_format: MemoryFormat
    samples: tuple[Sample, ...]
    source: str

    def stack(self, samples: Sequence[Sample] | None = None) -> Stack:
        """Stack the kernels of all samples, or of some."""
        chosen = self.samples if samples is None else samples
        return stacked(chosen, self.hardware, self.memory_format)

    def errors(self, samples: Sequence[Sample], belief: Belief) -> list[Error]:
        """Return the errors of the estimates of samples."""
        return errors(samples, self.hardware, self.memory_format, belief)


def published_times(
    name: str,
    rows: Sequence[Observation],
    path: Path,
    traced: Traced,
    told: Progress,
    hardware: Hardware | None = None,
) -> Times:
    """Trace the networks of published times of a device.

    Args:
        name: the device.
        rows: its rows of a table.
        path: the table.
        traced: kernels of networks that were traced before; the others are added.
        told: called with a line of progress.
        hardware: the device's peaks; those of its shipped data sheet if left out.

    Raises:
        InputError: the device has no shipped data sheet, or a network cannot be built.
    """
    first = rows[0]
    hardware = hardware or _sheet_hardware(name, first.precision)
    samples = tuple(_sample(row, traced, told) for row in rows)
    source = f"the published throughput of {len(rows)} networks ({path.name})"
    return Times(name, hardware, first.precision, first.memory_format, samples, source)


def _sample(row: Observation, traced: Traced, told: Progress) -> Sample:
    key = (row.model, row.input_size, row.precision)
    if key not in traced:
        told(f"tracing {row.model}")
        traced[key] = kernels(row.model, row.precision, row.input_size)
    return Sample(row.model, family(row.model), traced[key], row.batch_size, row.batch_seconds)


def _sheet_hardware(name: str, precision: Precision) -> Hardware:
    sheet = known_sheet(name)
    if sheet is not None:
        return sheet.hardware(precision)
    raise InputError(
        f"the hardware of {name!r} is unknown; add --matrix-tflops, --vector-tflops, "
        "--bandwidth-gbps and --cache-mb from its data sheet"
    )


def kernels(model: str, precision: Precision, size: int | None = None) -> KernelTable:
    """Trace a network, and return its kernels.

    Raises:
        InputError: there is no such network, or it cannot run on images of that size.
    """
    given = read((3, size, size)) if size else models.default_inputs(models.check_name(model))
    network = models.build(model, inputs=given, initialize=False)
    return KernelTable(lower(trace(network, given), precision).kernels)


def family(model: str) -> str:
    """Return the architecture family of a network: the torchvision module that defines it."""
    import torchvision

    return str(torchvision.models.get_model_builder(model).__module__.rpartition(".")[2])
