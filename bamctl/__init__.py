"""Where an attention module goes in a network, what it costs there, and whether it helps.

Seven names are the whole public interface: `analyze`, `insert`, `remove`, `fuse`, `BAM`,
`Placement` and `register_operator`.
Importing `bamctl` does not import torch; the first use of a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bamctl.analysis.analyze import analyze
    from bamctl.attention.bam import BAM
    from bamctl.placement.placement import Placement
    from bamctl.surgery.fusion import fuse
    from bamctl.surgery.insert import insert, remove
    from bamctl.tracing.operator_costs import register_operator

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
    "analyze": "bamctl.analysis.analyze",
    "BAM": "bamctl.attention.bam",
    "Placement": "bamctl.placement.placement",
    "fuse": "bamctl.surgery.fusion",
    "insert": "bamctl.surgery.insert",
    "register_operator": "bamctl.tracing.operator_costs",
    "remove": "bamctl.surgery.insert",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bamctl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
