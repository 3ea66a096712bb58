"""Whether someone looks on who needs plain operators."""

import torch
from torch.autograd import forward_ad


def is_watched() -> bool:
    """Whether a compiler, a tracer or a transform of functions is at work."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )
