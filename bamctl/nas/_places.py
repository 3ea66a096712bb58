"""Places: a cut point, and one option for each module that differs there."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bamctl.attention.kind import AttentionKind
from bamctl.attention.kinds import attention, in_order, kind_named
from bamctl.attention.settings import Settings
from bamctl.errors import InputError
from bamctl.nas.choices import Choices
from bamctl.placement.sites import Site
from bamctl.trunk.cut_points import CutPoint, Trunk

NONE = "none"


@dataclass(frozen=True)
class Place:
    """A cut point, and the sites that may be inserted there: `options[code - 1]`.

    `by_setting` has, for each module that fits here, its code for each of the space's settings;
    settings that build the same module share a code.
    """

    point: CutPoint
    options: tuple[Site, ...]
    by_setting: Mapping[str, tuple[int, ...]]

    @property
    def name(self) -> str:
        """The name of the module that precedes it."""
        return self.point.module

    @property
    def modules(self) -> tuple[str, ...]:
        """The choices of modules."""
        return (NONE, *self.by_setting)

    @property
    def has_settings(self) -> bool:
        """Return whether a module has settings that a search varies."""
        return any(kind_named(module).searched for module in self.by_setting)

    def module(self, code: int) -> str:
        """Return the module of a code."""
        return self.options[code - 1].attention.module if code else NONE

    def codes(self, setting: int) -> tuple[int, ...]:
        """Return the codes that one of the settings allows here, 0 first."""
        return tuple(dict.fromkeys((0, *(each[setting] for each in self.by_setting.values()))))


def find_place(
    point: CutPoint, config: Choices, settings: Sequence[Mapping[str, Any]], trunk: Trunk
) -> Place:
    """Return the modules that fit at a point, for each setting of the hyperparameters."""
    options: list[Site] = []
    by_setting: dict[str, tuple[int, ...]] = {}
    for module in in_order(config.module):
        codes = tuple(_codes(module, point, config, settings, trunk, options))
        by_setting |= {module: codes} if any(codes) else {}
    return Place(point, tuple(options), by_setting)


def _codes(
    module: str,
    point: CutPoint,
    config: Choices,
    settings: Sequence[Mapping[str, Any]],
    trunk: Trunk,
    options: list[Site],
) -> Iterator[int]:
    """Yield the code of a module for each setting, 0 where it does not fit; append new options."""
    kind, code_of = kind_named(module), dict[Hashable, int]()
    # Defaults are left out, so that training from weights may choose another.
    start = {} if config.init == kind.usual.init else {"init": config.init}
    args = {"args": config.args[module]} if module in config.args else {}
    for setting in settings:
        own = {name: value for name, value in setting.items() if name in kind.searched}
        chosen = attention(module=module, **own, **args, **start)
        key = kind.same(chosen, point)
        if key not in code_of:
            site = _fitted(kind, point, chosen, trunk)
            options += [site] if site else []
            code_of[key] = len(options) if site else 0
        yield code_of[key]


def _fitted(kind: AttentionKind, point: CutPoint, chosen: Settings, trunk: Trunk) -> Site | None:
    try:
        return kind.fit(point, chosen, trunk)
    except InputError:
        # For example if no block of the network takes and returns such a map.
        return None
