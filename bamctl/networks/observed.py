"""Detection of tracers, compilers and functorch transforms."""

import torch
from torch.autograd import forward_ad


def is_observed() -> bool:
    """Return whether a compiler, a tracer or a functorch transform needs plain operators."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )
