"""Replacements, while a network is traced, for the parts of PyTorch that its tracer rejects."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, _SingleLevelFunction


@contextmanager
def installed() -> Iterator[None]:
    """Install the replacements; threads that do not trace are unaffected."""
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (Function, "apply", _applied),
            (torch, "_check_with", _checked),
        ):
            stack.enter_context(_replaced(owner, name, stand_in))
        yield


@contextmanager
def _replaced(owner: Any, name: str, stand_in: Callable[[Any], Any]) -> Iterator[None]:
    original = vars(owner)[name]
    setattr(owner, name, stand_in(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _is_tracing() -> bool:
    return torch._C._get_tracing_state() is not None


def _applied(original: Any) -> Any:
    """Return an `apply` that runs `forward` under the tracer, in place of one opaque operator."""

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_tracing():
            return original.__get__(None, cls)(*args, **kwargs)
        context: Any = FunctionCtx()
        context.needs_input_grad = (False,) * len(args)
        with torch.no_grad():
            if cls.setup_context is _SingleLevelFunction.setup_context:
                return cls.forward(context, *args, **kwargs)
            result = cls.forward(*args, **kwargs)
            cls.setup_context(context, args, result)
            return result

    return classmethod(apply)


def _checked(original: Callable[..., None]) -> Callable[..., None]:
    """Return a check that accepts tensors as conditions: sizes are tensors under the tracer."""

    def check_with(error_type: type[BaseException], cond: Any, message: Any = None) -> None:
        if _is_tracing() and isinstance(cond, torch.Tensor):
            cond = bool(cond)
        original(error_type, cond, message)

    return check_with
