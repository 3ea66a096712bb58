"""The space of a search, which contains every distinct network once.

A candidate is a row of codes, one for each place: 0 for none, or the number of its option.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from bamctl.errors import InputError
from bamctl.nas._places import NONE, Place, find_place
from bamctl.nas.choices import Choices
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site, named, resolve
from bamctl.trunk.cut_points import CutPoint, Trunk
from bamctl.trunk.strategies import of_paper

Codes = np.ndarray


class Space:
    """All candidates of a search in one network.

    Args:
        config: the choices.
        trunk: the cut points of the network.

    Raises:
        InputError: the space is empty.
    """

    def __init__(self, config: Choices, trunk: Trunk) -> None:
        self.config = config
        self.settings = config.settings()
        points = _candidates(config, trunk)
        searched = {point.module for point in points}
        named = {n: each.points(trunk, config.stages) for n, each in of_paper().items()}
        others = {point.module: point for found in named.values() for point in found}
        every = {point.module: point for point in points} | others
        ordered = sorted(every.values(), key=lambda point: point.position)
        self.places = tuple(find_place(point, config, self.settings, trunk) for point in ordered)
        self.searched = tuple(i for i, place in enumerate(self.places) if place.name in searched)
        self.references = {"baseline": self._reference(())}
        for name, found in named.items():
            if found:
                self.references[name] = self._reference([point.module for point in found])

    def _reference(self, chosen: Collection[str]) -> tuple[int, ...]:
        return tuple(
            (*place.codes(0), 0)[1] if place.name in chosen else 0 for place in self.places
        )

    @cached_property
    def _makes(self) -> dict[tuple[int, int], np.ndarray]:
        """The settings that build each code, by place and code."""
        return {
            (i, code): (np.array([*place.by_setting.values()]) == code).any(axis=0)
            for i, place in enumerate(self.places)
            for code in range(1, 1 + len(place.options))
        }

    def count(self) -> int:
        """Return the exact number of distinct networks."""
        places = [self.places[i] for i in self.searched]
        if self.config.per_site:
            return int(np.prod([1 + len(place.options) for place in places], dtype=object))

        @cache
        def tails(depth: int, settings: frozenset[int]) -> int:
            """Return the number of ways to continue with any of some settings."""
            if depth == len(places):
                return 1
            groups: dict[int, set[int]] = {}
            for setting in settings:
                for code in places[depth].codes(setting):
                    groups.setdefault(code, set()).add(setting)
            return sum(tails(depth + 1, frozenset(each)) for each in groups.values())

        return tails(0, frozenset(range(len(self.settings))))

    def groups(self) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Yield products of codes, one tuple for each place, whose union is the space.

        With hyperparameters per site there is a single product; otherwise there is one for each
        setting, and a candidate may be in several.
        """
        searched = set(self.searched)
        if self.config.per_site:
            yield tuple(
                tuple(range(1 + len(place.options))) if i in searched else (0,)
                for i, place in enumerate(self.places)
            )
            return
        seen = set()
        for setting in range(len(self.settings)):
            group = tuple(
                place.codes(setting) if i in searched else (0,)
                for i, place in enumerate(self.places)
            )
            if group not in seen:
                seen.add(group)
                yield group

    @cached_property
    def choices(self) -> dict[str, list[Any]]:
        """The parameters that describe a candidate, each with its choices.

        Omits hyperparameters with a single choice. Includes places that only the paper's strategies
        use, which are not parameters of other candidates.
        """
        several = {n: each for n, each in self.config.of_hyperparameters().items() if len(each) > 1}
        found: dict[str, list[Any]] = {}
        for i, place in enumerate(self.places):
            found[place.name] = list(place.modules)
            if self.config.per_site and place.has_settings and i in self.searched:
                found |= {f"{place.name}:{name}": each for name, each in several.items()}
        return found if self.config.per_site else found | several

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the searched parameters."""
        others = {place.name for i, place in enumerate(self.places) if i not in self.searched}
        return tuple(name for name in self.choices if name not in others)

    def decode(self, params: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the candidate that parameters describe."""
        codes = []
        for place in self.places:
            module = params.get(place.name, NONE)
            made = None if module == NONE else place.by_setting[module]
            codes.append(made[self._setting(place, params)] if made else 0)
        return tuple(codes)

    def _setting(self, place: Place, params: Mapping[str, Any]) -> int:
        prefix = f"{place.name}:" if self.config.per_site else ""
        chosen = (params.get(prefix + n, first) for n, first in self._first.items())
        return self._number[tuple(chosen)]

    @cached_property
    def _first(self) -> dict[str, Any]:
        return {name: each[0] for name, each in self.config.of_hyperparameters().items()}

    @cached_property
    def _number(self) -> dict[tuple[Any, ...], int]:
        return {tuple(setting.values()): number for number, setting in enumerate(self.settings)}

    def encode(self, codes: Sequence[int]) -> dict[str, Any]:
        """Return canonical parameters of a candidate; those without effect get the first choice."""
        params: dict[str, Any] = {}
        for i, place in enumerate(self.places):
            code = int(codes[i])
            if i not in self.searched and not code:
                continue
            params[place.name] = place.module(code)
            if self.config.per_site and place.has_settings and i in self.searched:
                setting = int(self._makes[i, code].argmax()) if code else 0
                params |= self._written(setting, f"{place.name}:")
        return params if self.config.per_site else params | self._written_shared(codes)

    def _written_shared(self, codes: Sequence[int]) -> dict[str, Any]:
        """Return the first setting that builds all modules of a candidate."""
        fits = np.ones(len(self.settings), dtype=bool)
        for i in self.searched:
            if codes[i]:
                fits &= self._makes[i, int(codes[i])]
        return self._written(int(fits.argmax()), "")

    def _written(self, setting: int, prefix: str) -> dict[str, Any]:
        chosen = self.settings[setting].items()
        return {prefix + name: value for name, value in chosen if prefix + name in self.choices}

    def sites(self, codes: Sequence[int]) -> tuple[Site, ...]:
        """Return the sites of a candidate, in the order of the forward pass."""
        return tuple(
            place.options[code - 1] for place, code in zip(self.places, codes, strict=True) if code
        )

    def placement(self, codes: Sequence[int]) -> Placement:
        """Return a candidate as a placement that lists its sites.

        Raises:
            ValueError: the candidate is the baseline; a placement needs a site.
        """
        sites = self.sites(codes)
        if not sites:
            raise ValueError("the baseline is not a placement")
        return named(Placement(attention=sites[0].attention), sites)


def _candidates(config: Choices, trunk: Trunk) -> list[CutPoint]:
    where = ["*" if each == "all" else each for each in config.candidates]
    found = [site.point for site in resolve(Placement(where=where, stages=config.stages), trunk)]
    if not found:
        raise InputError(
            f"no cut point of the network matches {' or '.join(config.candidates)}; try "
            "--candidates all"
        )
    return found
