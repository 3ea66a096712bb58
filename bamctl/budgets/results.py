"""The results of a check: a figure against its limit, a placement, and all of them."""

from dataclasses import dataclass, field
from fractions import Fraction

from bamctl.budgets._advice import Advice
from bamctl.budgets.against import Comparison
from bamctl.budgets.figures import Figure
from bamctl.budgets.history import Record
from bamctl.budgets.targets import Target, Unchecked
from bamctl.errors import BamctlError
from bamctl.placement.budget import Level
from bamctl.placement.cost import PlacementCost
from bamctl.placement.metrics import Amount
from bamctl.results import Displayed
from bamctl.trunk.cut_points import Trunk


@dataclass(frozen=True)
class Check:
    """A figure against its limit, which is exact and in the unit of the metric.

    `metric` is a key of `METRICS`. `text` names the origin of the limit, and `note` is a remark.
    `figure` and `limit` are None where there is nothing to compare; the note then says why.
    """

    metric: str
    figure: Figure | None
    limit: Fraction | None
    text: str
    level: Level = "error"
    line: int | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the figure is within the limit; to meet it exactly is to pass."""
        return self.headroom is not None and self.headroom >= 0 and not self.is_open

    @property
    def is_open(self) -> bool:
        """Return whether an estimate cannot tell: the limit is inside of its interval."""
        if self.limit is None or self.figure is None or self.figure.interval is None:
            return False
        low, high = self.figure.interval
        return low <= self.limit < high

    @property
    def headroom(self) -> Fraction | None:
        """Return what is left up to the limit, negative where it is exceeded."""
        if self.limit is None or self.figure is None:
            return None
        return self.limit - Fraction(self.figure.value)

    @property
    def exit_code(self) -> int:
        """The exit code that this check alone would give."""
        if self.headroom is None:
            return BamctlError.exit_code
        return 1 if self.level == "error" and not self.passed and not self.is_open else 0


@dataclass(frozen=True)
class Checked:
    """A placement with its sites, what they cost, and how that compares with its limits.

    `figures` are those that depend on no device, if they were asked for. `uncounted` lists the
    network's operators that are in no figure. With `why`, `spent` has what
    each site adds to each metric, and `advice` a change for a placement over its limits, if any.
    """

    target: Target
    trunk: Trunk
    placed: PlacementCost
    checks: tuple[Check, ...]
    figures: dict[str, Figure]
    uncounted: dict[str, int]
    spent: dict[str, tuple[Amount, ...]] = field(default_factory=dict)
    advice: Advice | None = None

    @property
    def name(self) -> str:
        """The name of the placement."""
        return self.target.name

    @property
    def exit_code(self) -> int:
        """The worst of its checks."""
        return max((check.exit_code for check in self.checks), default=0)

    @property
    def is_open(self) -> bool:
        """Return whether an estimate cannot tell of one of its limits."""
        return any(check.is_open for check in self.checks)


@dataclass(frozen=True)
class CheckResult(Displayed):
    """The results of a check in the order of their names, and the files that have no budget.

    `why` is whether the cost of each site and advice were requested. `comparison` is with another
    revision, if one was named; with `strict`, what could not be compared fails, and so does a
    limit of which an estimate cannot tell. `history` are the records of the file that the figures
    were appended to, if any.
    """

    results: tuple[Checked | Unchecked, ...]
    without_budget: tuple[str, ...] = ()
    why: bool = False
    comparison: Comparison | None = None
    strict: bool = False
    history: tuple[Record, ...] = ()

    @property
    def exit_code(self) -> int:
        """The worst of the results: 0 fine, 1 over a limit, 2 or 3 where one was not checked."""
        codes = [result.exit_code for result in self.results]
        if self.strict and self.comparison and self.comparison.problems:
            codes.append(BamctlError.exit_code)
        if self.strict and any(
            check.is_open
            for each in self.results
            if isinstance(each, Checked)
            for check in each.checks
        ):
            codes.append(1)
        return max(codes, default=0)
