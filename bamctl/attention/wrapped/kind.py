"""`WrappedKind`: the base of kinds whose modules come from a library; torch is not loaded."""

from abc import abstractmethod
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from bamctl.attention.cost import Cost
from bamctl.attention.kind import AttentionKind, Site
from bamctl.attention.python_source import Code, call
from bamctl.attention.settings import Settings
from bamctl.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from bamctl.attention.wrapped.module import Wrapped
    from bamctl.trunk.cut_points import CutPoint, Trunk
    from bamctl.trunk.feature_maps import FeatureMap
    from bamctl.trunk.traced import TracedNetwork


class WrappedKind(AttentionKind):
    """A kind whose modules are built by a library, and map images with shape (N, C, H, W) to it.

    A kind needs `settings`, `summary`, `make` and `made_by`. What a module does with a map (its
    shape, whether it writes to its input or knows video) is found by running it once, and its cost
    by tracing it once for each setting and map.
    """

    # Whether a module may take maps of a video as a whole, which is then tried.
    knows_video: ClassVar[bool] = False
    on_video = "the module is applied to the frames of a video one by one if it knows images only"

    @abstractmethod
    def make(self, num_channels: int, settings: Settings, at: "FeatureMap") -> "nn.Module":
        """Build the library's module for maps with C channels.

        Raises:
            InputError: it cannot be built.
        """

    @abstractmethod
    def made_by(self, num_channels: int, settings: Settings, at: "FeatureMap") -> str:
        """Return the Python expression of what `make` builds."""

    def layer(self) -> "type[Wrapped]":
        """Return `Wrapped`."""
        from bamctl.attention.wrapped.module import Wrapped

        return Wrapped

    def fit(self, point: "CutPoint", settings: Settings, trunk: "Trunk") -> Site:
        """Return the site of the module at a cut point.

        Raises:
            InputError: the module cannot be built, does not run on the map, or changes its shape.
        """
        from bamctl.attention.wrapped.trial import tried

        try:
            tried(self, settings, point.map)
        except InputError as error:
            raise InputError(f"{point.module}: {error}") from error
        return Site(point, settings)

    def build(self, site: Site, network: "nn.Module") -> "nn.Module":
        """Build the module of a site."""
        return self.built(site.attention, site.point.map)

    def built(self, settings: Settings, at: "FeatureMap") -> "Wrapped":
        """Build the module for the maps of a site."""
        module = self.make(at.num_channels, settings, at)
        return self.layer()(module, **self._options(settings, at), layout=at.layout)

    def _options(self, settings: Settings, at: "FeatureMap") -> dict[str, Any]:
        from bamctl.attention.wrapped.trial import starts_as_identity, tried

        manner = tried(self, settings, at)
        has_factor = settings.init == "identity" and not starts_as_identity(self, settings, at)
        return {
            "init": "identity" if has_factor else "kaiming",
            "by_frame": manner.by_frame,
            "changes_input": manner.changes_input,
        }

    def cost(self, site: Site, traced: "TracedNetwork") -> Cost:
        """Return the cost that a trace of the module alone counts."""
        from bamctl.attention.wrapped.trial import traced_cost

        return traced_cost(self, site.attention, site.point.map, traced.trace.dtype)

    def same(self, settings: Settings, point: "CutPoint") -> Hashable:
        """Return a key that is equal for settings that build the same module at a cut point."""
        from bamctl.attention.wrapped.trial import tried

        # Settings that a search varies only change shapes; others may change what is computed.
        left_out = {"module", "init", *self.searched}
        others = (getattr(settings, n) for n in type(settings).model_fields if n not in left_out)
        return *others, tried(self, settings, point.map).shapes

    def source(self, site: Site) -> str:
        """Return the Python expression that wraps the library's module."""
        from bamctl.trunk.layouts import Nchw

        at, settings = site.point.map, site.attention
        usual = {"init": "kaiming", "by_frame": False, "changes_input": False}
        options = self._options(settings, at)
        named = {name: value for name, value in options.items() if value != usual[name]}
        if type(at.layout) is not Nchw:
            named["layout"] = at.layout
        return call("Wrapped", Code(self.made_by(at.num_channels, settings, at)), **named)


class NamedKind(WrappedKind):
    """One of a family of kinds, which differ in their names.

    Args:
        name: the name of the module in settings.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def usual(self) -> Settings:
        """The settings with all their defaults."""
        return self.settings.model_validate({"module": self._name})
