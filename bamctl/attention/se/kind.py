"""SE as a kind of attention module; torch is not loaded."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from bamctl.attention.kind import Cheaper, GateMaps, Site, with_doubled_reduction
from bamctl.attention.python_source import call
from bamctl.attention.settings import InitField, Settings
from bamctl.attention.wrapped.kind import WrappedKind
from bamctl.files.schemas import PositiveInt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bamctl.trunk.feature_maps import FeatureMap


class SeSettings(Settings):
    """The hyperparameters of SE."""

    searched: ClassVar = {"reduction": (16, 4, 8, 32)}

    module: Literal["se"] = Field(default="se", description="the attention module")
    reduction: PositiveInt = Field(default=16, description="channel reduction ratio r")
    init: InitField = "kaiming"


class Se(WrappedKind):
    """SE (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, section 3).

    The module is torchvision's `SqueezeExcitation`: 1x1 convolutions with biases in place of the
    paper's linear layers, ReLU and sigmoid.
    """

    settings = SeSettings
    summary = "Squeeze-and-Excitation, by torchvision"
    noun = "an SE"
    library = "torchvision"

    def make(self, num_channels: int, settings: Settings, at: "FeatureMap") -> "nn.Module":
        """Build torchvision's module with max(C // r, 1) hidden channels."""
        from torchvision.ops import SqueezeExcitation

        hidden = self._hidden(num_channels, settings)
        module: nn.Module = SqueezeExcitation(num_channels, hidden)
        return module

    def made_by(self, num_channels: int, settings: Settings, at: "FeatureMap") -> str:
        """Return the call of torchvision's class."""
        hidden = self._hidden(num_channels, settings)
        return call("torchvision.ops.SqueezeExcitation", num_channels, hidden)

    def maps(self, module: "nn.Module", x: "Tensor") -> GateMaps:
        """Return the gate of an SE: the scale of each channel, less one."""
        from bamctl.attention.se.maps import gate_maps

        return gate_maps(module, x)

    def _hidden(self, num_channels: int, settings: Settings) -> int:
        assert isinstance(settings, SeSettings)
        return max(num_channels // settings.reduction, 1)

    def cheaper(self, site: Site) -> Cheaper | None:
        """Return the settings with the reduction ratio doubled, while the hidden layer shrinks."""
        return with_doubled_reduction(site)

    def describe(self, settings: Settings) -> str:
        """Return the module and every setting, in one line."""
        assert isinstance(settings, SeSettings)
        return f"SE, by torchvision: r={settings.reduction}, init {settings.init}"

    def short(self, settings: Settings) -> str:
        """Return the module with its reduction ratio."""
        assert isinstance(settings, SeSettings)
        return f"se r={settings.reduction}"
