"""Alias of `bamctl.trunk.layouts` for networks that version 0.1.0 pickled."""

from bamctl.trunk.layouts import Ncdhw, Nchw, Ndhwc, Nhwc, Tokens

__all__ = ["Ncdhw", "Nchw", "Ndhwc", "Nhwc", "Tokens"]
