"""Recording of the inputs and outputs of modules during a trace."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bamctl.networks.structures import Path, tensors

Item = int | str | None


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module by its canonical name, with its inputs and outputs.

    `input` is the first argument, if that is a tensor; `is_unary` is true if it is the only one.
    `taken` are all tensors among the arguments. `outputs` are all floating-point tensors in the
    result, at any depth. `output` is the only one of them, if there is one: the result itself or,
    if `item` is not None, that item of it. `items` are the outputs that can be replaced: each
    occurs once, as the result itself or as an item of it.
    """

    module: str
    input: int | None
    output: int | None
    item: Item = None
    outputs: tuple[int, ...] = ()
    is_unary: bool = True
    taken: tuple[int, ...] = ()
    items: tuple[tuple[int, Item], ...] = ()


class Recorder:
    """Forward hooks that record which values of the graph each module takes and returns.

    The graph and its values are rewritten when the trace ends. Debug names survive, so every value
    that a module takes or returns gets one.
    """

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[_MarkedCall] = []
        self.graph: Any = None
        self._names = {module: name for name, module in model.named_modules()}
        self._num_marks = 0
        self._entered: list[tuple[str | None, tuple[str, ...], bool]] = []
        for module in self._names:
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            # First, to record the module's own result before other hooks replace it.
            module.register_forward_hook(self._leave, prepend=True)

    def _enter(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        # Marked before the forward pass: an in-place module overwrites its input.
        arguments = (*given, *named.values())
        first = arguments[0] if arguments else None
        mark = self._mark(first) if isinstance(first, Tensor) else None
        taken = tuple(self._mark(tensor) for _, tensor in tensors(arguments))
        num_arguments = sum(1 for each in arguments if each is not None)
        self._entered.append((mark, taken, num_arguments == 1))

    def _leave(self, module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        self.graph = torch._C._get_tracing_state().graph()
        first, taken, is_unary = self._entered.pop()
        returned = tuple((self._mark(tensor), path) for path, tensor in tensors(result))
        self.calls.append(_MarkedCall(self._names[module], first, taken, returned, is_unary))

    def _mark(self, tensor: Tensor) -> str:
        value = torch._C._get_value_trace(tensor)  # type: ignore[attr-defined]
        if not value.debugName().startswith("bamctl_"):
            self._num_marks += 1
            value.setDebugName(f"bamctl_{self._num_marks}")
        name: str = value.debugName()
        return name


@dataclass(frozen=True)
class _MarkedCall:
    module: str
    first: str | None
    taken: tuple[str, ...]
    returned: tuple[tuple[str, Path], ...]
    is_unary: bool

    def numbered(self, number: Mapping[str, int]) -> ModuleCall:
        times = Counter(name for name, _ in self.returned)
        # A tensor below the first level of a structure, or at two places of it, cannot be
        # replaced.
        items = tuple(
            (number[name], path[0] if path else None)
            for name, path in self.returned
            if name in number and len(path) <= 1 and times[name] == 1
        )
        output, item = items[0] if len(times) == 1 and items else (None, None)
        return ModuleCall(
            module=self.module,
            input=number.get(self.first or ""),
            output=output,
            item=item,
            outputs=tuple(number[name] for name in times if name in number),
            is_unary=self.is_unary,
            taken=tuple(number[name] for name in self.taken if name in number),
            items=items,
        )


_UNUSED = "prim::Print"


def keep_unused(graph: Any) -> None:
    """Print values without a reader, so that the operators that computed them stay in the graph.

    The tracer eliminates dead code. `drop_unused` removes the print node again.
    """
    unused = list(_unused(graph))
    if unused:
        graph.appendNode(graph.create(_UNUSED, unused, 0))


def drop_unused(graph: Any) -> None:
    """Remove the operators that do not contribute to the results of the network."""
    for node in graph.findAllNodes(_UNUSED):
        node.destroy()
    torch._C._jit_pass_dce(graph)


def _unused(graph: Any) -> Iterator[Any]:
    """Yield the results of operators without a reader; those of a module are in a block."""
    blocks = [graph]
    while blocks:
        for node in blocks.pop().nodes():
            if not node.hasUses():
                blocks += node.blocks()
                if node.kind() != "prim::Constant":
                    yield from node.outputs()
