"""`bamctl insert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.cli.options import (
    AttentionOptions,
    ModelName,
    NetworkOptions,
    OutputOptions,
    PlacementName,
    Where,
    placement_data,
    say,
    working,
)
from bamctl.errors import InputError
from bamctl.files import check_can_write

if TYPE_CHECKING:
    from bamctl.checkpoints import Checkpoint
    from bamctl.insertion import Insertion
    from bamctl.placement import Placement

YAML = (".yaml", ".yml")
SAFETENSORS = ".safetensors"
CHECKPOINTS = (SAFETENSORS, ".pth", ".pt", ".bin", ".ckpt")


def insert(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: PlacementName = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Published weights, such as DEFAULT or IMAGENET1K_V2, or a checkpoint.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the placement (.yaml), or weights with the placement (.safetensors).",
        ),
    ] = None,
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Insert attention modules, prove that the network works, and show what they cost."""
    shown.check()
    for option, value in (("--weights", weights), ("--placement", placement)):
        if value == "":
            raise InputError(f"{option} is empty; give a name or a file, or leave it out")
    _check_out(out)
    if out is not None and shown.output is not None and out.resolve() == shown.output.resolve():
        raise InputError(f"--out and --output both name {out}; the report is not what --out writes")
    checkpoint = _checkpoint(weights)
    wanted = _wanted(placement, checkpoint, where, model, attention, network)
    with working(f"inserting into {wanted.model}"):
        inserted = _insert(wanted, weights, checkpoint, out)
    from bamctl.report.insertion_view import insertion_report

    if inserted.proof is None:
        say("warning: nothing is inserted, since the placement selects no cut point here")
    if weights and inserted.proof and inserted.proof.output_change:
        say("note: the outputs of the loaded weights changed; --init identity keeps them")
    shown.show(insertion_report(inserted))
    return 0


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in (*YAML, SAFETENSORS):
        raise InputError(f"cannot write {out}: end its name in .yaml or .safetensors")
    check_can_write(out)


def _checkpoint(weights: str | None) -> "Checkpoint | None":
    """The file that `--weights` names; None where it names published weights."""
    if weights is None or not (Path(weights).exists() or weights.endswith(CHECKPOINTS)):
        return None
    from bamctl import checkpoints

    return checkpoints.read(Path(weights))


def _wanted(
    placement: str | None,
    checkpoint: "Checkpoint | None",
    where: list[str] | None,
    model: str,
    attention: AttentionOptions,
    network: NetworkOptions,
) -> "Placement":
    """The placement that was asked for, with the model that it is for."""
    from bamctl.models import check_name
    from bamctl.placement import Placement, find

    base = find(placement).as_dict() if placement else {}
    if not base and checkpoint and checkpoint.placement:
        base = checkpoint.placement.as_dict()
    wanted = Placement.from_options(placement_data(base, network, attention, where))
    name = model or wanted.model
    if not name:
        raise InputError("no model: name one, as in `bamctl insert resnet50`, or in the placement")
    return wanted.model_copy(update={"model": check_name(name)})


def _insert(
    wanted: "Placement", weights: str | None, checkpoint: "Checkpoint | None", out: Path | None
) -> "Insertion":
    import torch

    from bamctl import checkpoints, models
    from bamctl.insertion import insert_and_prove

    assert wanted.model is not None
    # One command gives one result: the new weights are random, but the same in every run.
    torch.manual_seed(0)
    given = wanted.input or models.default_inputs(wanted.model)
    network = models.build(
        wanted.model,
        inputs=given,
        num_classes=wanted.num_classes,
        stem=wanted.stem,
        args=wanted.args,
        weights=None if checkpoint else weights,
    )
    state = checkpoint.state if checkpoint else None
    inserted = insert_and_prove(wanted.model, network, wanted, given, state)
    if out is not None and out.suffix in YAML:
        inserted.placement.save(out)
    elif out is not None:
        checkpoints.write(out, network, inserted.placement)
    return inserted
