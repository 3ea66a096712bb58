"""`bamctl insert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bamctl.cli.messages import say, working
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    PlacementName,
    Weights,
    Where,
    checkpoint_of,
    wanted_placement,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import InputError, appended
from bamctl.files.atomic import check_can_write

if TYPE_CHECKING:
    from torch import nn

    from bamctl.export.write import Exported, Exporter
    from bamctl.placement.placement import Placement
    from bamctl.surgery.insertion import Insertion
    from bamctl.weights.checkpoints import Checkpoint

YAML = (".yaml", ".yml")
SAFETENSORS = ".safetensors"
STATE = (".pth", ".pt")
EXPORTED = (".pt2", ".onnx", ".py")


def insert(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: PlacementName = None,
    trust: Trust = None,
    weights: Weights = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Write the placement (.yaml), weights with the placement (.safetensors), a state "
            "dict (.pth), or a network that runs without bamctl: torch.export (.pt2), ONNX (.onnx) "
            "or Python (.py). Repeat for several.",
        ),
    ] = None,
    layout: Annotated[
        Literal["own", "official"],
        typer.Option(
            help="Parameter names in a .pth file: bamctl's, or those of the authors' released code."
        ),
    ] = "own",
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Insert attention modules, prove that the network works, and show what they cost."""
    shown.check()
    allow_named(model, trust)
    files = out or []
    _check_out(files, layout, shown)
    checkpoint = checkpoint_of(weights)
    base = checkpoint if placement is None else placement
    wanted = wanted_placement("insert", model, base, where, attention, network)
    with working(f"inserting into {wanted.model}"):
        inserted, exported = _insert(wanted, weights, checkpoint, files, layout)
    from bamctl.report.views.insertion import insertion_report

    if inserted.proof is None:
        say("warning: nothing is inserted: the placement selects no cut point here")
    if weights and not inserted.weights_have_attention and inserted.output_changed:
        say("note: the outputs of the loaded weights changed; --init identity keeps them")
    shown.show(insertion_report(inserted, exported))
    return 0


def _check_out(files: list[Path], layout: str, shown: OutputOptions) -> None:
    endings = (*YAML, SAFETENSORS, *STATE, *EXPORTED)
    for file in files:
        if file.suffix not in endings:
            raise InputError(f"cannot write {file}: end its name in one of {', '.join(endings)}")
        if shown.output is not None and file.resolve() == shown.output.resolve():
            raise InputError(f"--out and --output both name {file}; --output is for the report")
        check_can_write(file)
    if layout == "official" and not any(file.suffix in STATE for file in files):
        raise InputError("--layout official requires a .pth file; add --out x.pth")


def _insert(
    wanted: "Placement",
    weights: str | None,
    checkpoint: "Checkpoint | None",
    files: list[Path],
    layout: str,
) -> "tuple[Insertion, list[Exported]]":
    from bamctl.export.write import Exporter
    from bamctl.surgery.insertion import build_and_insert

    state = checkpoint.state if checkpoint else None
    network, inserted = build_and_insert(wanted, None if checkpoint else weights, state)
    exporter = Exporter(network, inserted)
    exported = []
    for count, file in enumerate(files):
        with appended(f"kept: {', '.join(map(str, files[:count]))}" if count else ""):
            exported.append(_write(file, network, inserted, layout, exporter))
    return inserted, [each for each in exported if each is not None]


def _write(
    file: Path, network: "nn.Module", inserted: "Insertion", layout: str, exporter: "Exporter"
) -> "Exported | None":
    from bamctl.weights import checkpoints, official

    if file.suffix in YAML:
        inserted.placement.save(file)
    elif file.suffix == SAFETENSORS:
        checkpoints.write(file, network, inserted.placement)
    elif file.suffix in STATE and layout == "official":
        official.write(file, network)
    elif file.suffix in STATE:
        checkpoints.write_state(file, network)
    else:
        return exporter.write(file)
    return None
