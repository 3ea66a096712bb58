"""The space of a search: every different network, once.

A candidate is a row of codes, one for each place: 0 for none, or the number of what stands there.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from bamctl.cut_points import CutPoint, Trunk
from bamctl.errors import InputError
from bamctl.placement import Placement
from bamctl.search.choices import HYPERPARAMETERS, Choices
from bamctl.search.places import NONE, Place, find_place
from bamctl.sites import Site, named, resolve
from bamctl.strategies import STRATEGIES

Codes = np.ndarray


class Space:
    """All candidates of a search in one network.

    Args:
        config: what is chosen from.
        trunk: the cut points of the network.

    Raises:
        InputError: there is nothing to choose from.
    """

    def __init__(self, config: Choices, trunk: Trunk) -> None:
        self.config = config
        self.settings = config.settings()
        points = _candidates(config, trunk)
        searched = {point.module for point in points}
        named = {n: each.points(trunk, config.stages) for n, each in STRATEGIES.items()}
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
            (place.by_setting[0] if place.by_setting else place.extra_block or 0)
            if place.name in chosen
            else 0
            for place in self.places
        )

    @cached_property
    def _allowed(self) -> np.ndarray:
        """The code of a BAM by setting and searched site; 0 where there is none."""
        columns = [self.places[i].by_setting or (0,) * len(self.settings) for i in self.searched]
        return np.array(columns, dtype=np.int64).T

    def count(self) -> int:
        """How many different networks there are, exactly."""
        places = [self.places[i] for i in self.searched]
        if self.config.per_site:
            return int(np.prod([1 + len(place.options) for place in places], dtype=object))

        @cache
        def tails(depth: int, settings: frozenset[int]) -> int:
            """How many ways there are to go on, where any of some settings may be the one."""
            if depth == len(places):
                return 1
            place = places[depth]
            total = tails(depth + 1, settings)
            if place.extra_block is not None:
                total += tails(depth + 1, settings)
            groups: dict[int, set[int]] = {}
            for setting in settings if place.by_setting else ():
                groups.setdefault(place.by_setting[setting], set()).add(setting)
            return total + sum(tails(depth + 1, frozenset(each)) for each in groups.values())

        return tails(0, frozenset(range(len(self.settings))))

    def groups(self) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Products of codes, one tuple for each place, whose union is the space.

        With hyperparameters of their own one product is all; otherwise there is one for each
        setting, and candidates may be in several.
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
                self._codes_at(place, setting) if i in searched else (0,)
                for i, place in enumerate(self.places)
            )
            if group not in seen:
                seen.add(group)
                yield group

    @staticmethod
    def _codes_at(place: Place, setting: int) -> tuple[int, ...]:
        own = place.by_setting[setting : setting + 1]
        return (0, *own, *(() if place.extra_block is None else (place.extra_block,)))

    @cached_property
    def choices(self) -> dict[str, list[Any]]:
        """The parameters that describe a candidate, each with its choices.

        A hyperparameter with a single choice is none. What only the paper's strategies use is
        there, too, and is no parameter of other candidates.
        """
        several = {n: each for n, each in self.config.of_hyperparameters().items() if len(each) > 1}
        found: dict[str, list[Any]] = {}
        for i, place in enumerate(self.places):
            found[place.name] = list(place.modules)
            if self.config.per_site and place.by_setting and i in self.searched:
                found |= {f"{place.name}:{name}": each for name, each in several.items()}
        return found if self.config.per_site else found | several

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of those parameters that are searched."""
        others = {place.name for i, place in enumerate(self.places) if i not in self.searched}
        return tuple(name for name in self.choices if name not in others)

    def decode(self, params: Mapping[str, Any]) -> tuple[int, ...]:
        """The candidate that parameters describe."""
        codes = []
        for place in self.places:
            code = place.modules[params.get(place.name, NONE)]
            codes.append(place.by_setting[self._setting(place, params)] if code is None else code)
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
        return {setting: number for number, setting in enumerate(self.settings)}

    def encode(self, codes: Sequence[int]) -> dict[str, Any]:
        """The one way to describe a candidate; what makes no difference has its first choice."""
        params: dict[str, Any] = {}
        for i, place in enumerate(self.places):
            code = int(codes[i])
            if i not in self.searched and not code:
                continue
            is_bam = code in place.by_setting
            params[place.name] = NONE if not code else "bam" if is_bam else "extra-block"
            if self.config.per_site and place.by_setting and i in self.searched:
                setting = place.by_setting.index(code) if is_bam else 0
                params |= self._written(setting, f"{place.name}:")
        return params if self.config.per_site else params | self._written_shared(codes)

    def _written_shared(self, codes: Sequence[int]) -> dict[str, Any]:
        """The first setting that makes all the BAMs of a candidate."""
        own = np.array([codes[i] for i in self.searched])
        is_bam = [codes[i] in self.places[i].by_setting for i in self.searched]
        fits = (self._allowed == own)[:, is_bam].all(axis=1)
        return self._written(int(fits.argmax()), "")

    def _written(self, setting: int, prefix: str) -> dict[str, Any]:
        chosen = zip(HYPERPARAMETERS, self.settings[setting], strict=True)
        return {prefix + name: value for name, value in chosen if prefix + name in self.choices}

    def sites(self, codes: Sequence[int]) -> tuple[Site, ...]:
        """What a candidate inserts, in the order of the forward pass."""
        return tuple(
            place.options[code - 1] for place, code in zip(self.places, codes, strict=True) if code
        )

    def placement(self, codes: Sequence[int]) -> Placement:
        """A candidate as a placement, with its sites written out; the baseline has none.

        Raises:
            ValueError: nothing is inserted, and a placement needs a site.
        """
        sites = self.sites(codes)
        if not sites:
            raise ValueError("the baseline is no placement")
        return named(Placement(attention=sites[0].attention), sites)


def _candidates(config: Choices, trunk: Trunk) -> list[CutPoint]:
    where = ["*" if each == "all" else each for each in config.candidates]
    found = [site.point for site in resolve(Placement(where=where, stages=config.stages), trunk)]
    if not found:
        raise InputError(
            f"the network has no {' and no '.join(config.candidates)} to choose from; try "
            "--candidates all"
        )
    return found
