"""The paper's control, one more of the network's own blocks: settings, cost, construction."""

from typing import TYPE_CHECKING, Any

from bamctl.attention.extra_block.kind import NAME

if TYPE_CHECKING:
    from bamctl.attention.extra_block.module import ExtraBlock

__all__ = ["NAME", "ExtraBlock"]


def __getattr__(name: str) -> Any:
    # Lazily, since settings are read without loading torch.
    if name != "ExtraBlock":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bamctl.attention.extra_block.module import ExtraBlock

    return ExtraBlock
