"""What may stand at a cut point: one option for each different module, however it is described."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bamctl.cut_points import CutPoint, Trunk
from bamctl.errors import InputError
from bamctl.hyperparameters import Attention, Init
from bamctl.placement import Placement
from bamctl.search.choices import HYPERPARAMETERS, Choices
from bamctl.sites import Site, resolve

NONE = "none"


@dataclass(frozen=True)
class Place:
    """A cut point, and what may stand there: `options[code - 1]`.

    `by_setting` has the code of a BAM for each of the space's settings; several settings have one
    code where they make the same module. `extra_block` is the code of that control, if it is one
    of the choices and can be made here.
    """

    point: CutPoint
    options: tuple[Site, ...]
    by_setting: tuple[int, ...]
    extra_block: int | None

    @property
    def name(self) -> str:
        """The module behind which it is."""
        return self.point.module

    @cached_property
    def modules(self) -> dict[str, int | None]:
        """The choices of modules; the code of a BAM depends on the setting, and is None."""
        found: dict[str, int | None] = {NONE: 0}
        if self.by_setting:
            found["bam"] = None
        if self.extra_block is not None:
            found["extra-block"] = self.extra_block
        return found


def find_place(
    point: CutPoint, config: Choices, settings: Sequence[tuple[Any, ...]], trunk: Trunk
) -> Place:
    """What may stand at a point, for each of some settings of the hyperparameters."""
    options: list[Site] = []
    by_setting: list[int] = []
    code_of: dict[tuple[Any, ...], int] = {}
    # What is usual is left unsaid, so that training from weights may choose another.
    start: dict[str, Any] = {} if config.init == Attention().init else {"init": config.init}
    for setting in settings if "bam" in config.module else ():
        chosen = dict(zip(HYPERPARAMETERS, setting, strict=True))
        attention = Attention(**chosen, **start)
        kind = _kind(attention, point)
        if kind not in code_of:
            options.append(Site(point, attention))
            code_of[kind] = len(options)
        by_setting.append(code_of[kind])
    block = _extra_block(point, config.init, trunk) if "extra-block" in config.module else None
    options += [block] if block else []
    return Place(point, tuple(options), tuple(by_setting), len(options) if block else None)


def _kind(attention: Attention, point: CutPoint) -> tuple[Any, ...]:
    """What makes a BAM at a point another than the others there.

    Reductions that leave as many hidden channels are the same, and so are dilations beyond the
    map's sides, which reach nothing but the padding; a missing branch has no hyperparameters.
    """
    given = attention.hyperparameters()
    hidden = max(point.map.num_channels // given["reduction"], 1)
    branches = given["branches"]
    reach = None if branches == "channel" else min(given["dilation"], max(point.map.extents))
    combine = given["combine"] if branches == "both" else None
    return given["variant"], hidden, branches, reach, combine


def _extra_block(point: CutPoint, init: Init, trunk: Trunk) -> Site | None:
    module: Literal["extra-block"] = "extra-block"
    wanted = Placement().with_sites({point.module: Attention(module=module, init=init)})
    try:
        return resolve(wanted, trunk)[0]
    except InputError:
        # No block of the network takes and returns such a map.
        return None
