"""Networks that version 0.1.0 pickled look here for what `bamctl.networks.inserted` defines."""

from bamctl.networks.inserted import AttentionHook, Inserted

__all__ = ["AttentionHook", "Inserted"]
