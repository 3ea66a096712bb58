"""The attention modules that can be inserted: the literal `MODULES`, and one file for each."""

from collections.abc import Callable

from torch import nn

from bamctl.attention.bam import BAM
from bamctl.attention.extra_block import ExtraBlock

# From the number of channels, the layout and the network's own block to repeat, if there is one,
# and the hyperparameters of a placement.
MODULES: dict[str, Callable[..., nn.Module]] = {
    "bam": lambda num_channels, layout, block, **hyperparameters: BAM(
        num_channels, layout=layout, **hyperparameters
    ),
    "extra-block": lambda num_channels, layout, block, **hyperparameters: ExtraBlock(
        block, **hyperparameters
    ),
}
