"""Placement of attention modules in a network: sites, costs, and evidence of benefit.

The public interface, each name of which is one call or one type:

- `analyze`: stages, bottlenecks, and what attention costs at each point
- `insert`, `remove`, `fuse`: surgery on a network
- `latency`: measured or estimated, without and with attention
- `train`, `search`: short training runs with paired statistics, and the search over placements
- `judge`: the same statistics for results of any other training loop
- `check`: hold placements to their budgets
- `BAM`, `Placement`: the module, and the cut points that get one
- `register_operator`: count an operator that PyTorch does not have

Importing `bamctl` does not import torch; the first use of a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bamctl.analysis.analyze import analyze
    from bamctl.attention.bam import BAM
    from bamctl.budgets.check import check
    from bamctl.judging.judge import judge
    from bamctl.nas.search import search
    from bamctl.placement.placement import Placement
    from bamctl.surgery.fusion import fuse
    from bamctl.surgery.insert import insert, remove
    from bamctl.timing.latency import latency
    from bamctl.tracing.operator_costs import register_operator
    from bamctl.training.train import train

__all__ = [
    "BAM",
    "Placement",
    "__version__",
    "analyze",
    "check",
    "fuse",
    "insert",
    "judge",
    "latency",
    "register_operator",
    "remove",
    "search",
    "train",
]
__version__ = "0.1.0"

_HOMES = {
    "BAM": "bamctl.attention.bam",
    "Placement": "bamctl.placement.placement",
    "analyze": "bamctl.analysis.analyze",
    "check": "bamctl.budgets.check",
    "fuse": "bamctl.surgery.fusion",
    "insert": "bamctl.surgery.insert",
    "judge": "bamctl.judging.judge",
    "latency": "bamctl.timing.latency",
    "register_operator": "bamctl.tracing.operator_costs",
    "remove": "bamctl.surgery.insert",
    "search": "bamctl.nas.search",
    "train": "bamctl.training.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bamctl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
