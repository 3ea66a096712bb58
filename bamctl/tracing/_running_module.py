"""The module and operator in which a failing network stops."""

from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name


class Watch(TorchFunctionMode):
    """Recorder of the running module and operator, to locate a failure.

    Its hooks stay on the network until the caller removes them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._modules: list[str] = []
        self._operator: str | None = None
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self._modules.append(name))
            module.register_forward_hook(lambda *_: self._leave())

    def _leave(self) -> None:
        self._modules.pop()

    def __torch_function__(
        self, function: Any, types: Any, given: Any = (), named: Any = None
    ) -> Any:
        self._operator = resolve_name(function) or getattr(function, "__name__", None)
        result = function(*given, **(named or {}))
        self._operator = None
        return result

    def place(self) -> str:
        """Return the location in brackets, or nothing if it is unknown."""
        module = next((name for name in reversed(self._modules) if name), None)
        at = [f"in {module}"] if module else []
        if self._operator:
            at.append(f"at {self._operator.rpartition('.')[2]}")
        return f" ({' '.join(at)})" if at else ""
