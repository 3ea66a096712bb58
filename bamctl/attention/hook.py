"""Networks that version 0.1.0 pickled look here for what `bamctl.inserted` defines."""

from bamctl.inserted import AttentionHook, Inserted

__all__ = ["AttentionHook", "Inserted"]
