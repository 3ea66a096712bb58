"""Networks that version 0.1.0 pickled look here for what `bamctl.trunk.layouts` defines."""

from bamctl.trunk.layouts import Ncdhw, Nchw, Ndhwc, Nhwc, Tokens

__all__ = ["Ncdhw", "Nchw", "Ndhwc", "Nhwc", "Tokens"]
