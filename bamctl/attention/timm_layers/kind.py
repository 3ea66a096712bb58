"""timm's attention modules as kinds; neither timm nor torch is loaded before one is built."""

import inspect
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bamctl.attention.arguments import Arguments, listed
from bamctl.attention.kind import Cheaper, Site
from bamctl.attention.python_source import call
from bamctl.attention.settings import InitField, Settings
from bamctl.attention.wrapped.kind import NamedKind
from bamctl.errors import InputError, did_you_mean, first_line, let_through
from bamctl.files.schemas import PositiveInt

if TYPE_CHECKING:
    from torch import nn

    from bamctl.trunk.feature_maps import FeatureMap

PREFIX = "timm:"


class TimmSettings(Settings):
    """The settings of a timm module: its keyword arguments, and its reduction ratio by r."""

    module: str = Field(pattern=r"^timm:\w+$", description="the attention module")
    reduction: PositiveInt | None = Field(
        default=None, description="channel reduction ratio r; default: the module's own"
    )
    args: Arguments = Field(default=(), description="more keyword arguments of the module")
    init: InitField = "kaiming"


class TimmKind(NamedKind):
    """One of the modules that `timm.layers.create_attn` knows.

    Args:
        name: the name, as `timm:NAME`.
    """

    settings = TimmSettings
    library = "timm"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.summary = f"{self._bare}, by timm"

    @property
    def noun(self) -> str:
        """The module with its article."""
        return f"{'an' if self._bare[0] in 'aeiou' else 'a'} {self._bare} (timm)"

    @property
    def _bare(self) -> str:
        return self._name.removeprefix(PREFIX)

    @property
    def searched(self) -> Mapping[str, tuple[Any, ...]]:
        """The reduction ratio where it makes a difference, the module's own first."""
        usual = self._parameters.get("rd_ratio")
        if usual is None or not self._shrinks:
            return {}
        own = round(1 / usual.default)
        return {"reduction": tuple(dict.fromkeys((own, 16, 4, 8, 32)))}

    def check(self) -> None:
        """Look the module up in timm."""
        _ = self._class

    @cached_property
    def _class(self) -> Any:
        """The class, or a partial call of it.

        Raises:
            InputError: timm is not installed, or has no such module.
        """
        try:
            from timm.layers.create_attn import get_attn
        except ImportError as error:
            raise InputError(
                f"{self._name} needs timm, which is not installed: pip install 'bamctl[timm]'"
            ) from error
        try:
            return get_attn(self._bare)  # type: ignore[no-untyped-call]
        except AssertionError as error:
            known = re.findall(r"attn_type == '(\w+)'", inspect.getsource(get_attn))
            near = did_you_mean(self._bare, known) or f"; it has {', '.join(known)}"
            raise InputError(f"timm has no attention module {self._bare!r}{near}") from error

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self._class).parameters

    @cached_property
    def _shrinks(self) -> bool:
        """Whether the reduction ratio changes the module: some accept it and have no hidden layer.

        On 256 channels, which the ratios of 4 and 32 round to different widths.
        """
        with _without_randomness():
            one, other = (
                {name: each.shape for name, each in module.state_dict().items()}
                for module in (self._class(256, rd_ratio=1 / r) for r in (4, 32))
            )
        return one != other

    def make(self, num_channels: int, settings: Settings, at: "FeatureMap") -> "nn.Module":
        """Build the module; a map's height and width are passed only if it requires them.

        Raises:
            InputError: timm is not installed, has no such module, or cannot build it so.
        """
        return self._built(num_channels, settings, at)[0]

    def _built(
        self, num_channels: int, settings: Settings, at: "FeatureMap"
    ) -> "tuple[nn.Module, dict[str, Any]]":
        """Return the module, and the keyword arguments that built it."""
        options = self._keywords(settings)
        tries = [options]
        if "feat_size" in self._parameters and "feat_size" not in options:
            tries.append({**options, "feat_size": (at.height, at.width)})
        for keywords in tries:
            try:
                return self._class(num_channels, **keywords), keywords
            except Exception as error:  # whatever a builder raises
                let_through(error)
                reason = first_line(error) or type(error).__name__
        given = ", ".join([str(num_channels), *(f"{k}={v!r}" for k, v in options.items())])
        raise InputError(f"{self._name}({given}) cannot be built: {reason}")

    def _keywords(self, settings: Settings) -> dict[str, Any]:
        """Return the keyword arguments of the class.

        Raises:
            InputError: the module has no reduction ratio, or no such argument.
        """
        assert isinstance(settings, TimmSettings)
        options = dict(settings.args)
        unknown = [name for name in options if name not in self._parameters]
        if unknown:
            near = did_you_mean(unknown[0], self._parameters)
            raise InputError(f"{self._name} has no argument {unknown[0]!r}{near}")
        if settings.reduction is not None:
            if "rd_ratio" not in self._parameters or not self._shrinks:
                raise InputError(f"{self._name} has no reduction ratio; drop reduction")
            if "rd_ratio" in options:
                raise InputError(f"{self._name}: rd_ratio and reduction are the same; drop one")
            options["rd_ratio"] = 1 / settings.reduction
        return options

    def made_by(self, num_channels: int, settings: Settings, at: "FeatureMap") -> str:
        """Return the call of timm's function."""
        with _without_randomness():
            _, options = self._built(num_channels, settings, at)
        return call("timm.layers.create_attn", self._bare, num_channels, **options)

    def cheaper(self, site: Site) -> Cheaper | None:
        """Return the settings with the reduction ratio doubled, while the module shrinks."""
        settings = site.attention
        assert isinstance(settings, TimmSettings)
        if not self.searched or "rd_ratio" in dict(settings.args):
            return None
        reduction = 2 * (settings.reduction or self.searched["reduction"][0])
        changed = settings.model_copy(update={"reduction": reduction})
        if self.same(changed, site.point) == self.same(settings, site.point):
            return None
        return Cheaper("raise r", reduction, changed)

    def describe(self, settings: Settings) -> str:
        """Return the module and every setting, in one line."""
        assert isinstance(settings, TimmSettings)
        ratio = f"r={settings.reduction}, " if settings.reduction else ""
        return f"{self.summary}: {ratio}init {settings.init}{listed(settings.args)}"

    def short(self, settings: Settings) -> str:
        """Return the module with what is not its default."""
        assert isinstance(settings, TimmSettings)
        ratio = f" r={settings.reduction}" if settings.reduction else ""
        return f"{self._bare}{ratio}{listed(settings.args).replace(',', '')}"


def _without_randomness() -> Any:
    """Return a context in which drawn weights change no random state."""
    import torch

    return torch.random.fork_rng(devices=[])
