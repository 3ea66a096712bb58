"""A function or class of one's own as a kind; it is imported only when a module is built."""

from typing import TYPE_CHECKING

from pydantic import Field

from bamctl.attention.arguments import Arguments, listed
from bamctl.attention.python_source import call
from bamctl.attention.settings import InitField, Settings
from bamctl.attention.wrapped.kind import NamedKind

if TYPE_CHECKING:
    from torch import nn

    from bamctl.trunk.feature_maps import FeatureMap


class OwnSettings(Settings):
    """The settings of a module of one's own: its keyword arguments."""

    module: str = Field(
        pattern=r"^[^\W\d][\w.]*:[^\W\d][\w.]*$", description="the attention module"
    )
    args: Arguments = Field(default=(), description="more keyword arguments of the module")
    init: InitField = "kaiming"


class OwnKind(NamedKind):
    """A factory, called with the number of channels and keyword arguments.

    Args:
        name: the name, as `package.module:factory`.
    """

    settings = OwnSettings
    knows_video = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.summary = "a module of your own"
        self.library = name.partition(":")[0]

    @property
    def noun(self) -> str:
        """The factory with an article."""
        return f"a {self._name.partition(':')[2]}"

    @property
    def factory(self) -> str:
        """The factory, which is called only if `networks.trust` allows it."""
        return self._name

    def check(self) -> None:
        """Import the factory."""
        from bamctl.networks import factories

        factories.function(self._name)

    def make(self, num_channels: int, settings: Settings, at: "FeatureMap") -> "nn.Module":
        """Call the factory with the number of channels.

        Raises:
            InputError: the factory is not trusted, cannot be imported or called, or does not return
                an `nn.Module`.
        """
        from bamctl.networks import factories

        assert isinstance(settings, OwnSettings)
        return factories.build(self._name, num_channels, **dict(settings.args))

    def made_by(self, num_channels: int, settings: Settings, at: "FeatureMap") -> str:
        """Return the call of the factory."""
        assert isinstance(settings, OwnSettings)
        return call(self._name.replace(":", "."), num_channels, **dict(settings.args))

    def describe(self, settings: Settings) -> str:
        """Return the factory and every argument, in one line."""
        assert isinstance(settings, OwnSettings)
        return f"{self._name}: init {settings.init}{listed(settings.args)}"

    def short(self, settings: Settings) -> str:
        """Return the factory's name with its arguments."""
        assert isinstance(settings, OwnSettings)
        return f"{self._name.partition(':')[2]}{listed(settings.args).replace(',', '')}"
