"""The paper's control as a kind of attention module; torch is not loaded."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bamctl import units
from bamctl.attention.cost import Cost
from bamctl.attention.kind import AttentionKind, Site
from bamctl.attention.python_source import Code, call
from bamctl.attention.settings import InitField, Settings
from bamctl.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from bamctl.attention.extra_block.module import ExtraBlock
    from bamctl.trunk.cut_points import CutPoint, Trunk
    from bamctl.trunk.traced import TracedNetwork

NAME: Literal["extra-block"] = "extra-block"


class ExtraBlockSettings(Settings):
    """The control has no hyperparameters but how its weights start."""

    module: Literal["extra-block"] = Field(default=NAME, description="the attention module")
    init: InitField = "kaiming"


class ExtraBlockKind(AttentionKind):
    """The paper's control: one more of the network's own blocks, in place of an attention module.

    A gain from more parameters is no gain from attention (Park et al., BMVC 2018, table 1).
    """

    settings = ExtraBlockSettings
    is_control = True
    summary = "a copy of the network's own block"
    noun = "an extra block"
    on_tokens = "the extra block takes them as the block that it copies does, class token included"
    on_video = "the extra block treats frames as the block that it copies does"

    def layer(self) -> "type[ExtraBlock]":
        """Return `ExtraBlock`."""
        from bamctl.attention.extra_block.module import ExtraBlock

        return ExtraBlock

    def fit(self, point: "CutPoint", settings: Settings, trunk: "Trunk") -> Site:
        """Return the site with the block to repeat, which keeps the shape of the map.

        This is the block that ends at the cut point or the last one before it, or else the first
        one after it.

        Raises:
            InputError: no block of the network keeps that shape.
        """
        alike = [block for block in trunk.blocks if block.repeatable and block.map == point.map]
        if not alike:
            raise InputError(
                f"no block can be repeated at {point.module!r}: no block has input and output "
                f"of {units.shape((point.map.num_channels, *point.map.extents))}"
            )
        before = [block for block in alike if block.position <= point.position]
        return Site(point, settings, (before[-1] if before else alike[0]).block)

    def build(self, site: Site, network: "nn.Module") -> "nn.Module":
        """Build a reinitialized copy of the block."""
        assert site.repeated_block is not None
        block = network.get_submodule(site.repeated_block)
        return self.layer()(block, **site.attention.hyperparameters())

    def cost(self, site: Site, traced: "TracedNetwork") -> Cost:
        """Return the traced cost of the block, and with `init=identity` that of the residual."""
        from bamctl.networks.memory import kept_for_backward, on_meta

        assert site.repeated_block is not None
        at, identity = site.point.map, site.attention.init == "identity"
        # The cost depends on shapes only, so the copy is on the meta device.
        block = on_meta(traced.network.get_submodule(site.repeated_block))
        control = self.layer()(block, site.attention.init).to("meta")
        # The residual of `identity`: a difference, a product with the scalar, and a sum.
        residual = 3 * at.num_channels * at.num_pixels * at.batch if identity else 0
        return Cost(
            params=sum(parameter.numel() for parameter in control.parameters()),
            macs=traced.trace.macs[site.repeated_block],
            elementwise_ops=traced.trace.elementwise_ops[site.repeated_block] + residual,
            memory_bytes=at.batch * kept_for_backward(control, at.shape),
        )

    def describe(self, settings: Settings) -> str:
        """Return a description with the initialization."""
        return f"One more of the network's own blocks, init {settings.init}"

    def source(self, site: Site) -> str:
        """Return the call that copies the block."""
        block = Code(call("model.get_submodule", site.repeated_block))
        return call("ExtraBlock", block, **site.attention.hyperparameters())
