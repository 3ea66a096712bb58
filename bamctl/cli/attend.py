"""`bamctl attend`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.cli.options import (
    AttentionOptions,
    NetworkOptions,
    OutputOptions,
    PlacementName,
    Weights,
    Where,
    checkpoint_of,
    option,
    say,
    wanted_placement,
    working,
)
from bamctl.errors import InputError
from bamctl.files import atomic_path, check_can_write

if TYPE_CHECKING:
    from bamctl.attend import Image
    from bamctl.report.attend_view import Seen


def attend(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for insert.", show_default=False)
    ],
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Whatever Pillow opens.", show_default=False),
    ],
    *,
    weights: Weights = None,
    where: Where = None,
    placement: PlacementName = None,
    out: Annotated[
        Path | None, option("Write the maps over the image as a picture.", metavar="FILE.png")
    ] = None,
    mean: Annotated[
        str | None, option("Mean of the channels, in fractions of white. [0.485,0.456,0.406]")
    ] = None,
    std: Annotated[
        str | None, option("Standard deviation of the channels. [0.229,0.224,0.225]")
    ] = None,
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Show what inserted modules look at in images, site by site."""
    shown.check()
    if out is not None:
        if out.suffix != ".png" or len(images) > 1:
            raise InputError("--out is one .png of one image; for several, use --format html")
        check_can_write(out)
    for path in images:
        if not path.is_file():
            raise InputError(f"cannot read {path}: there is no such file")
    numbers = {name: _numbers(name, text) for name, text in (("mean", mean), ("std", std)) if text}
    checkpoint = checkpoint_of(weights)
    base = placement if placement is not None or checkpoint is None else checkpoint.placement
    wanted = wanted_placement("attend", model, base, where, attention, network)
    if weights is None:
        say("note: without --weights, attention is untrained, and looks nowhere in particular")
    with working(f"looking through {wanted.model}"):
        from bamctl.attend import attend as look
        from bamctl.attend import open_image
        from bamctl.insertion import build_and_insert
        from bamctl.report.attend_view import attend_report

        state = checkpoint.state if checkpoint else None
        built, inserted = build_and_insert(wanted, None if checkpoint else weights, state)
        if not inserted.placed.sites:
            raise InputError(f"nothing is inserted in {wanted.model}; see `bamctl analyze`")
        shape = inserted.trace.given[0].shape
        opened: list[Image] = [open_image(path, shape, **numbers) for path in images]
        seen: Seen = [(each, look(built, inserted.placed.sites, each.pixels)) for each in opened]
        report = attend_report(inserted, seen)
    if out is not None:
        from bamctl.report.attention_picture import draw

        with atomic_path(out) as temporary:
            temporary.write_bytes(draw(*seen[0]))
    shown.show(report)
    return 0


def _numbers(name: str, text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in (1, 3) or (name == "std" and min(found) <= 0):
        raise InputError(f"--{name} {text!r} is not one number or three, as in 0.485,0.456,0.406")
    return found
