"""`bamctl attend`."""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.cli.messages import say, working
from bamctl.cli.options.declare import option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import (
    NetworkOptions,
    PlacementName,
    Where,
    checkpoint_of,
    wanted_placement,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import InputError
from bamctl.files.atomic import atomic_path, check_can_read, check_can_write

if TYPE_CHECKING:
    from bamctl.report.views.attend import Seen
    from bamctl.surgery.insertion import Insertion


def attend(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for insert.", show_default=False)
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="Any format of Pillow.", show_default=False),
    ] = None,
    *,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Published weights, or a checkpoint; repeat for several, such as the snapshots of "
            "a training.",
        ),
    ] = None,
    where: Where = None,
    placement: PlacementName = None,
    trust: Trust = None,
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
    model, images = _model_and_images(model, images or [])
    allow_named(model, trust)
    if out is not None:
        if out.suffix != ".png" or len(images) * len(weights or [""]) > 1:
            raise InputError("--out writes one .png of one image; for several, use --format html")
        check_can_write(out)
    for path in images:
        check_can_read(path)
    statistics = {
        n: _numbers(n, text) for n, text in (("mean", mean), ("std", std)) if text is not None
    }
    if weights is None:
        say("note: without --weights, attention is untrained, and its maps are meaningless")
    asked = _Asked(model, images, statistics, where, placement, attention, network)
    with working("computing attention maps") as told:
        from bamctl.report.views.attend import attend_report

        every: list[str | None] = [*weights] if weights else [None]
        found = [_look(asked, each, told) for each in every]
        report = attend_report(found[0][0], [pair for _, seen in found for pair in seen])
    if out is not None:
        from bamctl.report.chart import Picture

        pictures = [each.png for each in report.charts if isinstance(each, Picture)]
        with atomic_path(out) as temporary:
            temporary.write_bytes(b64decode(pictures[0]))
    shown.show(report)
    return 0


def _model_and_images(first: str, others: list[Path]) -> tuple[str, list[Path]]:
    """Return the model and the images; a file in place of a model is the first image.

    Raises:
        InputError: there is no image.
    """
    if Path(first).is_file():
        return "", [Path(first), *others]
    if not others:
        raise InputError(f"no image: name one, as in `bamctl attend {first} photo.jpg`")
    return first, others


@dataclass(frozen=True)
class _Asked:
    """The request, apart from the weights."""

    model: str
    images: list[Path]
    statistics: dict[str, list[float]]
    where: list[str] | None
    placement: str | None
    attention: AttentionOptions
    network: NetworkOptions


def _look(
    asked: _Asked, weights: str | None, told: Callable[[str], None]
) -> "tuple[Insertion, Seen]":
    """Run the images through the network with some weights; names contain both."""
    from bamctl.analysis.attend import attend as look
    from bamctl.analysis.attend import open_image
    from bamctl.surgery.insertion import build_and_insert

    checkpoint = checkpoint_of(weights)
    base = checkpoint if asked.placement is None else asked.placement
    wanted = wanted_placement(
        "attend", asked.model, base, asked.where, asked.attention, asked.network
    )
    told(f"looking through {wanted.model}")
    state = checkpoint.state if checkpoint else None
    built, inserted = build_and_insert(wanted, None if checkpoint else weights, state)
    if not inserted.placed.sites:
        raise InputError(f"nothing is inserted in {wanted.model}; see `bamctl analyze`")
    shape = inserted.trace.given[0].shape
    opened = [open_image(path, shape, **asked.statistics) for path in asked.images]
    named = [replace(each, name=_name(each.name, weights)) for each in opened]
    return inserted, [(each, look(built, inserted.placed.sites, each.pixels)) for each in named]


def _name(image: str, weights: str | None) -> str:
    return image if weights is None else f"{image}, {Path(weights).stem}"


def _numbers(name: str, text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in (1, 3):
        raise InputError(f"--{name} {text!r} is not one number or three, as in 0.485,0.456,0.406")
    # Users with images of 0 to 255 pass statistics that must be divided by 255.
    if not all(0 <= each <= 1 for each in found) or (name == "std" and not all(found)):
        least = "above 0" if name == "std" else "from 0"
        raise InputError(f"--{name} {text!r} is in fractions of white: {least} to 1")
    return found
