"""`bamctl calibrate`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bamctl.cli.messages import working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_write

if TYPE_CHECKING:
    from bamctl.timing.calibration import Calibration
    from bamctl.timing.hardware import Hardware

Sheet = "Data sheet, with --from"


@dataclass(frozen=True)
class SheetOptions:
    """The data sheet of a device."""

    matrix_tflops: Annotated[
        float | None,
        option("Peak of dense matrix products in the table's precision.", Sheet, min=0.001),
    ] = None
    vector_tflops: Annotated[
        float | None, option("Peak outside of the matrix units.", Sheet, min=0.001)
    ] = None
    bandwidth_gbps: Annotated[
        float | None, option("Memory bandwidth in 10^9 bytes/s.", Sheet, min=0.001)
    ] = None
    cache_mb: Annotated[
        float | None, option("Last-level cache in 10^6 bytes.", Sheet, min=0.001)
    ] = None

    def hardware(self, *, is_measured: bool) -> "Hardware | None":
        """Return the data sheet, or None if none of its options was passed.

        Raises:
            InputError: only part of it was passed, or the hardware is to be measured.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            return None
        if is_measured:
            raise InputError("a data sheet requires --from; on a device, the peaks are measured")
        missing = [f"--{name.replace('_', '-')}" for name in asdict(self) if name not in given]
        if missing:
            raise InputError(f"part of a data sheet is missing: add {', '.join(missing)}")
        from bamctl.timing.hardware import Hardware

        return Hardware(**given)


def calibrate(
    *,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CSV",
            help="Fit published throughput instead of measuring: a file with the columns device, "
            "model, input_size, batch_size, images_per_second, memory_format and precision.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, option("Name of the device; with --from, its name in the table.")
    ] = None,
    device: Annotated[str | None, option("Device to measure. [cuda where there is one]")] = None,
    precision: Annotated[
        Literal["fp32", "amp_fp16", "amp_bf16", "fp16", "bf16"] | None,
        option("Precision of the measured networks. [fp32 on a CPU, otherwise amp_fp16]"),
    ] = None,
    memory_format: Annotated[
        Literal["contiguous", "channels_last"] | None,
        option("Memory format of the measured networks. [contiguous]"),
    ] = None,
    model: Annotated[
        list[str] | None, option("A network to measure; repeat for several. [15 of them]")
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        option("Images in a batch; repeat for several. [1 and 4 on a CPU, else 1 and 64]", min=1),
    ] = None,
    report: Annotated[bool, flag("--report", "Also show the error of every network.")] = False,
    out: Annotated[Path | None, option("Write the profile, for --device.", metavar="FILE")] = None,
    sheet: SheetOptions,
    shown: OutputOptions,
) -> int:
    """Make a device profile, for estimates of latency where the device is not at hand."""
    shown.check()
    measured = {
        "--device": device,
        "--precision": precision,
        "--memory-format": memory_format,
        "--model": model,
        "--batch-size": batch_size,
    }
    if table is not None and (given := [each for each, value in measured.items() if value]):
        raise InputError(f"{given[0]} cannot be combined with --from; the table specifies it")
    if table is not None and name is None:
        raise InputError("--from needs --name: which device of the table")
    if out is not None:
        if out.suffix not in (".yaml", ".yml"):
            raise InputError(f"cannot write {out}: end its name in .yaml")
        check_can_write(out)
    hardware = sheet.hardware(is_measured=table is None)
    with working("calibrating") as told:
        from bamctl.timing import calibration

        found: Calibration
        if table is not None and name is not None:
            found = calibration.from_table(table, name, hardware, told)
        else:
            from bamctl.timing.setup import default_device

            on = device or default_device()
            found = calibration.from_device(
                on,
                name or on.replace(":", "-"),
                precision=precision,
                memory_format=memory_format or "contiguous",
                networks=model or calibration.NETWORKS,
                batch_sizes=batch_size,
                told=told,
            )
    if out is not None:
        found.profile.save(out)
    from bamctl.report.views.calibration import calibration_report

    shown.show(calibration_report(found, every_network=report))
    return 0
