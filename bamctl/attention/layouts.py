"""Networks that version 0.1.0 pickled look here for what `bamctl.layouts` defines."""

from bamctl.layouts import Ncdhw, Nchw, Ndhwc, Nhwc, Tokens

__all__ = ["Ncdhw", "Nchw", "Ndhwc", "Nhwc", "Tokens"]
