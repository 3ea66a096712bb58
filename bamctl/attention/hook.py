"""Alias of `bamctl.networks.inserted` for networks that version 0.1.0 pickled."""

from bamctl.networks.inserted import AttentionHook, Inserted

__all__ = ["AttentionHook", "Inserted"]
