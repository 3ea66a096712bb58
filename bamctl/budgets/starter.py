"""A placement to start from, with a budget a quarter above what its attention costs today."""

from math import ceil

from bamctl import units
from bamctl.budgets.figures import Figure, Priced, figure
from bamctl.files import yaml_files
from bamctl.placement.metrics import independent

HEADROOM = 1.25

CI_STEP = """\
- run: pip install bamctl
- run: bamctl check
"""

_HEAD = """\
# Which points of the network get an attention module, and what that may cost.
# `bamctl check` holds the network to the budget; `bamctl schema` describes every key.
"""
_BUDGET = """\
# The most that the network may cost above the unmodified one: a quarter more than attention
# costs today. An amount is a limit too, such as `params: 26 M`. With `level: warn`, as in
# `macs: {max: +2 %, level: warn}`, to exceed it is said, and passes.
budget:
"""


def starter(priced: Priced) -> str:
    """Return a commented placement file, as text, that passes its check."""
    data = priced.placement.as_written()
    data["where"] = data.get("where", "bottleneck")
    figures = {metric: figure(metric, priced) for metric in independent()}
    lines = [_line(metric, found) for metric, found in figures.items() if found.base]
    return _HEAD + yaml_files.text(data) + _BUDGET + "".join(lines)


def _line(metric: str, found: Figure) -> str:
    added = (found.value - found.base) / found.base
    limit = ceil(added * HEADROOM * 10_000) / 100
    return f"  {metric}: +{limit:.2f} %  # today {units.percent(added)}\n"
