"""`bamctl calibrate`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bamctl.cli.messages import working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_write

if TYPE_CHECKING:
    from bamctl.timing.hardware import Hardware
    from bamctl.timing.profiles import Profile

Sheet = "Data sheet of another device"
# Matrix units do four times what vector units do, where a data sheet is given without the latter.
_MATRIX_TO_VECTOR = 4


def _number(names: tuple[str, ...], help_text: str) -> Any:
    return typer.Option(
        *names, help=help_text, rich_help_panel=Sheet, show_default=False, min=0.001
    )


@dataclass(frozen=True)
class SheetOptions:
    """The data sheet of a device."""

    matrix_tflops: Annotated[
        float | None,
        _number(("--tflops", "--matrix-tflops"), "Peak of dense matrix products in the precision."),
    ] = None
    vector_tflops: Annotated[
        float | None,
        _number(("--vector-tflops",), "Peak outside of the matrix units. [a fourth of --tflops]"),
    ] = None
    bandwidth_gbps: Annotated[
        float | None,
        _number(("--bandwidth", "--bandwidth-gbps"), "Memory bandwidth in 10^9 bytes/s."),
    ] = None
    cache_mb: Annotated[
        float | None, _number(("--cache", "--cache-mb"), "Last-level cache in 10^6 bytes.")
    ] = None
    power_watts: Annotated[
        float | None, _number(("--watts",), "Power limit, which bounds products. [no limit]")
    ] = None

    def given(self) -> bool:
        """Return whether any of the options was passed."""
        return any(value is not None for value in asdict(self).values())

    def hardware(self, *, needs_vector: bool) -> "Hardware | None":
        """Return the data sheet, or None if none of its options was passed.

        Raises:
            InputError: only part of it was passed, or no device has such ratios.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            return None
        needed = ["matrix_tflops", "bandwidth_gbps", "cache_mb"]
        needed[1:1] = ["vector_tflops"] if needs_vector else []
        missing = [f"--{name.replace('_', '-')}" for name in needed if name not in given]
        if missing:
            raise InputError(f"part of a data sheet is missing: add {', '.join(missing)}")
        from bamctl.timing.hardware import Hardware
        from bamctl.timing.sheets import check_plausible

        given.setdefault("vector_tflops", given["matrix_tflops"] / _MATRIX_TO_VECTOR)
        hardware = Hardware(**given)
        check_plausible(hardware)
        return hardware


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
    datasheet: Annotated[
        str | None,
        option("Take the peaks of a device's shipped data sheet, such as a100.", metavar="NAME"),
    ] = None,
    known: Annotated[
        list[str] | None,
        option(
            "With a data sheet: a published figure of the device, as in resnet50@256=2900 for "
            "images per second at a batch size; repeat for several.",
            metavar="MODEL@BATCH=RATE",
        ),
    ] = None,
    learn: Annotated[
        Path | None,
        option(
            "Learn the coefficients over all devices of a table as for --from, and show the "
            "errors for each device left out of it; --out names a folder for the profiles.",
            metavar="CSV",
        ),
    ] = None,
    name: Annotated[
        str | None, option("Name of the device; with --from, its name in the table.")
    ] = None,
    device: Annotated[str | None, option("Device to measure. [cuda where there is one]")] = None,
    precision: Annotated[
        Literal["fp32", "amp_fp16", "amp_bf16", "fp16", "bf16"] | None,
        option("Precision of the networks. [fp32 on a CPU, otherwise amp_fp16]"),
    ] = None,
    memory_format: Annotated[
        Literal["contiguous", "channels_last"] | None,
        option("Memory format of the networks. [contiguous]"),
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
    measured = {"--device": device, "--model": model, "--batch-size": batch_size}
    formats = {"--precision": precision, "--memory-format": memory_format}
    if learn is not None:
        others = {"--from": table, "--datasheet": datasheet, "--name": name, "--known": known}
        _refuse("--learn", {**others, **measured, **formats, Sheet: sheet.given()})
        return _learn(learn, out, shown)
    _check_out(out)
    is_sheet = datasheet is not None or (table is None and device is None and sheet.given())
    if is_sheet:
        _refuse("a data sheet", {"--from": table, **measured})
    else:
        _check_times(table, name, known, sheet, {**measured, **formats})
    with working("calibrating") as told:
        profile: Profile
        if is_sheet:
            profile = _from_sheet(
                datasheet, name, sheet, precision, memory_format, known or [], told
            )
        else:
            from bamctl.timing import calibration
            from bamctl.timing.setup import default_device

            if table is not None and name is not None:
                hardware = sheet.hardware(needs_vector=True)
                found = calibration.from_table(table, name, hardware, told)
            else:
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
            profile = found.profile
    if out is not None:
        profile.save(out)
    from bamctl.report.views.calibration import calibration_report, sheet_report

    shown.show(
        sheet_report(profile) if is_sheet else calibration_report(found, every_network=report)
    )
    return 0


def _check_times(
    table: Path | None,
    name: str | None,
    known: list[str] | None,
    sheet: SheetOptions,
    measured: dict[str, Any],
) -> None:
    """Raise for options that do not belong to a fit to times, published or measured."""
    if known:
        raise InputError("--known needs a data sheet: --datasheet NAME, or --tflops and the like")
    if table is not None:
        _refuse("--from", measured, "; the table specifies it")
        if name is None:
            raise InputError("--from needs --name: which device of the table")
    elif sheet.given():
        raise InputError(
            "a data sheet requires --from, or no --device; on a device, the peaks are measured"
        )


def _refuse(what: str, others: dict[str, Any], why: str = "") -> None:
    given = [each for each, value in others.items() if value]
    if given:
        raise InputError(f"{given[0]} cannot be combined with {what}{why}")


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"cannot write {out}: end its name in .yaml")
    check_can_write(out)


def _learn(table: Path, out: Path | None, shown: OutputOptions) -> int:
    if out is not None:
        check_can_write(out)
    with working("learning") as told:
        from bamctl.report.views.calibration import learning_report
        from bamctl.timing.learning import learn

        found = learn(table, told)
    if out is not None:
        found.save(out)
    shown.show(learning_report(found))
    return 0


def _from_sheet(
    datasheet: str | None,
    name: str | None,
    sheet: SheetOptions,
    precision: Any,
    memory_format: Any,
    known: list[str],
    told: Callable[[str], None],
) -> "Profile":
    from bamctl.timing.known import read_known, with_known
    from bamctl.timing.profiles import from_data_sheet
    from bamctl.timing.sheets import data_sheet

    precision, memory_format = precision or "amp_fp16", memory_format or "contiguous"
    figures = [read_known(text) for text in known]
    memory_gb = None
    if datasheet is not None and sheet.given():
        raise InputError("--datasheet has the peaks; drop --tflops and the like")
    if datasheet is not None:
        shipped = data_sheet(datasheet)
        memory_gb = shipped.memory_gb
        hardware, source = shipped.hardware(precision), shipped.source
        profile = from_data_sheet(
            name or shipped.name,
            hardware,
            source,
            precision=precision,
            memory_format=memory_format,
        )
    else:
        given = sheet.hardware(needs_vector=False)
        assert given is not None
        guessed = ("vector_tflops",) if sheet.vector_tflops is None else ()
        profile = from_data_sheet(
            name or "own",
            given,
            "given on the command line",
            precision=precision,
            memory_format=memory_format,
            assumed=guessed,
        )
    return with_known(profile, figures, memory_gb=memory_gb, told=told)
