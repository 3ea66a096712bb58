"""The cost of attention modules."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """The cost of one or more attention modules, for one image.

    `macs` and `elementwise_ops` are counted as in a `Trace`. `memory_bytes` is what training saves
    for the backward pass in addition to the module's input: the tensors that grow with the batch,
    without the statistics per channel. The refined map counts, since the next layer saves its
    input; only the average pooling behind a network's last map does not. `uncounted` has the
    operators without a formula, which are in neither number, with their calls.
    """

    params: int = 0
    macs: int = 0
    elementwise_ops: int = 0
    memory_bytes: int = 0
    uncounted: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.elementwise_ops + other.elementwise_ops,
            self.memory_bytes + other.memory_bytes,
            self.uncounted + other.uncounted,
        )

    def for_batch(self, size: int) -> "Cost":
        """Return the cost of the same modules on `size` maps for each image."""
        macs, elementwise_ops, memory_bytes = (
            size * each for each in (self.macs, self.elementwise_ops, self.memory_bytes)
        )
        return Cost(self.params, macs, elementwise_ops, memory_bytes, self.uncounted)
