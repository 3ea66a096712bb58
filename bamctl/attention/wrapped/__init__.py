"""Attention modules for images of any library, applied to the maps of a site."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bamctl.attention.wrapped.module import Wrapped

__all__ = ["Wrapped"]


def __getattr__(name: str) -> Any:
    # Lazily, since settings are read without loading torch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bamctl.attention.wrapped import module

    return getattr(module, name)
