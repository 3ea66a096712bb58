"""Where an attention module goes in a network, what it costs there, and whether it helps.

Seven names are the whole public interface: `analyze`, `insert`, `remove`, `fuse`, `BAM`,
`Placement` and `register_operator`.
Importing `bamctl` does not import torch; the first use of a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bamctl.analysis import analyze
    from bamctl.attention.bam import BAM
    from bamctl.fusion import fuse
    from bamctl.operator_costs import register_operator
    from bamctl.placement import Placement
    from bamctl.surgery import insert, remove

__all__ = [
    "BAM",
    "Placement",
    "__version__",
    "analyze",
    "fuse",
    "insert",
    "register_operator",
    "remove",
]
__version__ = "0.1.0"

_HOMES = {
    "analyze": "bamctl.analysis",
    "BAM": "bamctl.attention.bam",
    "Placement": "bamctl.placement",
    "fuse": "bamctl.fusion",
    "insert": "bamctl.surgery",
    "register_operator": "bamctl.operator_costs",
    "remove": "bamctl.surgery",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bamctl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
