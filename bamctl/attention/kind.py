"""`AttentionKind`: the interface of a kind of attention module; torch is not loaded."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bamctl.attention.python_source import call
from bamctl.attention.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bamctl.attention.cost import Cost
    from bamctl.trunk.cut_points import CutPoint, Trunk
    from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class Site:
    """One insertion: an attention module at a cut point.

    `repeated_block` is the name of the copied block of the network, for a kind that copies one.
    `rank` is the number of modules before it at the same cut point.
    """

    point: "CutPoint"
    attention: Settings
    repeated_block: str | None = None
    rank: int = 0

    @property
    def name(self) -> str:
        """The module that it refines, with a number if others are inserted there before it."""
        return f"{self.point.module} ({self.rank + 1})" if self.rank else self.point.module


@dataclass(frozen=True)
class Cheaper:
    """A change of one setting that reduces cost: `change`, such as "raise r", to `value`."""

    change: str
    value: int
    settings: Settings


@dataclass(frozen=True)
class GateMaps:
    """The gate of a module for one image, all with channels first.

    `gate`, with shape (1, C, H, W) or broadcastable to it, is the factor of the map in addition to
    one; `before` and `after` have shape (1, C, H, W). `channel`, with shape (C,), and `spatial`,
    with shape (H, W), are the outputs of the branches before they are combined; None for a missing
    branch.
    """

    gate: "Tensor"
    before: "Tensor"
    after: "Tensor"
    channel: "Tensor | None" = None
    spatial: "Tensor | None" = None


class AttentionKind(ABC):
    """A kind of attention module: its settings, where it fits, construction, cost and wording.

    A kind needs `settings`, `summary`, `layer` and `cost`; every other method has a default. The
    default construction is `layer()(C, layout=..., **settings.hyperparameters())`.

    `summary` is a short description, as in "bam, the Bottleneck Attention Module". `on_tokens` and
    `on_video` are clauses for reports: how the module treats such maps, or nothing. `library` is a
    package that its modules need besides torch. `is_control` marks what is no attention, but is
    compared with it.
    """

    settings: ClassVar[type[Settings]]
    summary: str
    on_tokens: ClassVar[str] = (
        "the module puts the patches back on their grid, and the class token passes unchanged"
    )
    on_video: ClassVar[str] = ""
    library: str | None = None
    is_control: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the kind, which is its key in `KINDS`."""
        return self.usual.module

    @property
    def noun(self) -> str:
        """The module with its article, for a heading such as "a BAM here adds"."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    @property
    def usual(self) -> Settings:
        """The settings with all their defaults."""
        return self.settings.model_validate({})

    @property
    def searched(self) -> Mapping[str, tuple[Any, ...]]:
        """The settings that a search varies, with their choices; see `Settings.searched`."""
        return self.settings.searched

    @property
    def factory(self) -> str | None:
        """The user's code that builds its modules, as `package.module:factory`, if any."""
        return None

    def check(self) -> None:  # noqa: B027 - most kinds are always there
        """Raise if the module does not exist, before anything is done for it.

        Raises:
            InputError: its library is not installed or has no such module, or its factory is not
                trusted or cannot be imported.
        """

    @abstractmethod
    def layer(self) -> "type[nn.Module]":
        """Return the class of the module; import torch here, and not at the top of the file."""

    @abstractmethod
    def cost(self, site: Site, traced: "TracedNetwork") -> "Cost":
        """Return the cost that the module adds to a traced network, for one image.

        A network may have several maps for each image, `site.point.map.batch`; multiply with
        `Cost.for_batch`.
        """

    def fit(self, point: "CutPoint", settings: Settings, trunk: "Trunk") -> Site:
        """Return the site of the module at a cut point.

        Raises:
            InputError: the module cannot be inserted there.
        """
        return Site(point, settings)

    def build(self, site: Site, network: "nn.Module") -> "nn.Module":
        """Build the module of a site; the caller sets its device, dtype and mode."""
        at = site.point.map
        hyperparameters = site.attention.hyperparameters()
        module: nn.Module = self.layer()(at.num_channels, layout=at.layout, **hyperparameters)
        return module

    def same(self, settings: Settings, point: "CutPoint") -> Hashable:
        """Return a key that is equal for settings that build the same module at a cut point."""
        return tuple(settings.hyperparameters().values())

    def cheaper(self, site: Site) -> Cheaper | None:
        """Return the smallest change of the settings that makes a site cheaper, or None."""
        return None

    def warning(self, site: Site, enlarged: int = 1) -> str | None:
        """Return what the settings cannot do on the map of a site, and what would change it.

        A sentence without its full stop; None if there is nothing to say. `enlarged` supposes a map
        that is as many times as high and wide.
        """
        return None

    def describe(self, settings: Settings) -> str:
        """Return the module and every setting, in one line."""
        return f"{self.name}: {_listed(settings, list(type(settings).model_fields)[1:])}"

    def short(self, settings: Settings) -> str:
        """Return the module and the settings that a search varies, in a few words."""
        return f"{self.name} {_listed(settings, list(self.searched))}".rstrip()

    def source(self, site: Site) -> str:
        """Return the Python expression that builds the module, for exported source code."""
        from bamctl.trunk.layouts import Nchw

        layer, at = self.layer(), site.point.map
        usual = {name: each.default for name, each in inspect.signature(layer).parameters.items()}
        chosen = site.attention.hyperparameters()
        if type(at.layout) is not Nchw:
            chosen["layout"] = at.layout
        named = {name: v for name, v in chosen.items() if name not in usual or v != usual[name]}
        return call(layer.__name__, at.num_channels, **named)

    def source_modules(self) -> tuple[str, ...]:
        """Return the Python modules whose definitions that expression needs, in import order."""
        return (self.layer().__module__,)

    @property
    def has_gate(self) -> bool:
        """Return whether modules of this kind have a gate."""
        return type(self).maps is not AttentionKind.maps

    def maps(self, module: "nn.Module", x: "Tensor") -> GateMaps | None:
        """Return the gate of a module for one image, or None if the kind has no gate.

        Args:
            module: a module from `build`.
            x: the input feature map of one image, in the layout of the site.
        """
        return None


def with_doubled_reduction(site: Site) -> Cheaper | None:
    """Return the settings with the reduction ratio r doubled, while max(C // r, 1) shrinks."""
    reduction = site.attention.hyperparameters()["reduction"]
    if site.point.map.num_channels // reduction <= 1:
        return None
    settings = site.attention.model_copy(update={"reduction": 2 * reduction})
    return Cheaper("raise r", 2 * reduction, settings)


def _listed(settings: Settings, names: list[str]) -> str:
    return ", ".join(f"{name}={getattr(settings, name)}" for name in names)
