"""The gates of modules as a report: numbers for each site, and the maps as pictures."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from bamctl.analysis.attend import Array, Image, SiteMaps, upsampled
from bamctl.report._wording import SCHEMA, settings
from bamctl.report.chart import Picture
from bamctl.report.charts.attention_picture import draw
from bamctl.report.document import Column, Report, Table
from bamctl.surgery.insertion import Insertion

Seen = Sequence[tuple[Image, Sequence[SiteMaps]]]


def attend_report(insertion: Insertion, seen: Seen) -> Report:
    """Show a row for each site of each image, and a picture for each image."""
    records = [_record(image, maps) for image, sites in seen for maps in sites]
    kinds = dict.fromkeys(settings(site.attention) for site in insertion.placed.sites)
    text = (
        f"{'; '.join(kinds)}.\n"
        "Gate: the factor on the map, less one; its mean, least and most over channels and "
        "positions. Looks at: the position of the largest channel mean of the gate, in pixels from "
        "the left and from the top. Change: mean absolute value of the map after the module, "
        "divided by that before."
    )
    return Report(
        f"{insertion.model}   attention maps",
        [_table(seen), text],
        {
            "schema": SCHEMA,
            "model": insertion.model,
            "sites": [_data(*each) for each in _all(seen)],
        },
        records,
        charts=[_picture(image, sites) for image, sites in seen],
    )


def _all(seen: Seen) -> list[tuple[Image, SiteMaps]]:
    return [(image, maps) for image, sites in seen for maps in sites]


def _table(seen: Seen) -> Table:
    columns = [
        Column("image"),
        Column("module at"),
        Column("map", "right"),
        Column("gate", "right"),
        Column("least", "right"),
        Column("most", "right"),
        Column("looks at", "right"),
        Column("change", "right"),
    ]
    return Table(columns, [_row(_record(image, maps)) for image, maps in _all(seen)])


def _row(record: dict[str, Any]) -> list[str]:
    return [
        record["image"],
        record["module"],
        f"{record['height']}x{record['width']}",
        f"{record['gate_mean']:.3f}",
        f"{record['gate_min']:.3f}",
        f"{record['gate_max']:.3f}",
        _position(record),
        f"{record['change']:.3f}",
    ]


def _position(record: dict[str, Any]) -> str:
    return (
        "-" if record["looks_at_x"] is None else f"{record['looks_at_x']}, {record['looks_at_y']}"
    )


def _record(image: Image, maps: SiteMaps) -> dict[str, Any]:
    height, width = image.original.shape[:2]
    y, x = np.unravel_index(upsampled(maps.gate, height, width).argmax(), (height, width))
    is_flat = bool(np.ptp(maps.gate) == 0)
    return {
        "image": image.name,
        "module": maps.module,
        "height": maps.gate.shape[0],
        "width": maps.gate.shape[1],
        "gate_mean": float(maps.gate.mean()),
        "gate_min": float(maps.gate.min()),
        "gate_max": float(maps.gate.max()),
        # A gate of channels alone is the same at every position.
        "looks_at_x": None if is_flat else int(x),
        "looks_at_y": None if is_flat else int(y),
        "change": float(maps.after.mean() / max(float(maps.before.mean()), 1e-12)),
    }


def _data(image: Image, maps: SiteMaps) -> dict[str, Any]:
    names = ("spatial", "channel", "gate", "before", "after")
    return {**_record(image, maps), **{f"{n}_map": _numbers(getattr(maps, n)) for n in names}}


def _numbers(values: Array | None) -> list[Any] | None:
    return None if values is None else list(values.tolist())


def _picture(image: Image, sites: Sequence[SiteMaps]) -> Picture:
    where = ", ".join(maps.module for maps in sites)
    return Picture(
        title=image.name,
        text=(
            f"From left to right, at {where}: the image, the map before the module, the spatial "
            "branch, the channels, the gate, and the map after it. Brightness is scaled "
            "per map."
        ),
        png=b64encode(draw(image, sites)).decode("ascii"),
    )
