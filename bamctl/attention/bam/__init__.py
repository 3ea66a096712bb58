"""BAM, the Bottleneck Attention Module (Park et al., BMVC 2018): settings, cost, construction."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bamctl.attention.bam.module import BAM

__all__ = ["BAM"]


def __getattr__(name: str) -> Any:
    # Lazily, since settings are read without loading torch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bamctl.attention.bam import module

    return getattr(module, name)
