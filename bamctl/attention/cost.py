"""The cost of attention modules."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """The cost of one or more attention modules, for one image.

    `macs` and `elementwise_ops` are counted as in a `Trace`. `memory_bytes` is what training saves
    for the backward pass in addition to the module's input: the tensors that grow with the batch,
    without the statistics per channel. The refined map counts, since the next layer saves its
    input; only the average pooling behind a network's last map does not.
    """

    params: int = 0
    macs: int = 0
    elementwise_ops: int = 0
    memory_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.elementwise_ops + other.elementwise_ops,
            self.memory_bytes + other.memory_bytes,
        )

    def for_batch(self, size: int) -> "Cost":
        """Return the cost of the same modules on `size` maps for each image."""
        ops = (size * each for each in (self.macs, self.elementwise_ops, self.memory_bytes))
        return Cost(self.params, *ops)
