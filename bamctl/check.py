"""Holding placements to their budgets, and to a baseline of figures that were accepted before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from bamctl.advice import Advice, advise
from bamctl.baseline import Baseline
from bamctl.budget import LatencyAllowance, Level, Metric, parse_limit
from bamctl.cost import PlacementCost
from bamctl.errors import BamctlError
from bamctl.figures import MEASURES, Figure, Priced, Subject, latency, load_subject, price
from bamctl.targets import Target, Unchecked


@dataclass(frozen=True)
class Check:
    """A figure against its limit, which is in the metric's own unit and exact.

    `text` says where the limit comes from, and `note` what else is to be said of it. `limit` is
    None where there is nothing to compare with.
    """

    metric: Metric
    figure: Figure
    limit: Fraction | None
    text: str
    level: Level = "error"
    line: int | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is within the limit; to meet it exactly is to pass."""
        return self.limit is not None and self.figure.value <= self.limit

    @property
    def headroom(self) -> Fraction | None:
        """What is left up to the limit, negative where it is exceeded."""
        return None if self.limit is None else self.limit - self.figure.value

    @property
    def exit_code(self) -> int:
        """The exit code that this check alone would give."""
        if self.limit is None:
            return BamctlError.exit_code
        return 1 if self.level == "error" and not self.passed else 0


@dataclass(frozen=True)
class Checked:
    """A placement with its sites, what they cost, and how that compares with its limits.

    `figures` has what was accepted in a baseline, or would be; `advice` is for a placement over its
    budget, when it was asked for and there is one.
    """

    target: Target
    placed: PlacementCost
    checks: tuple[Check, ...]
    advice: Advice | None = None

    @property
    def exit_code(self) -> int:
        """The worst of its checks."""
        return max((check.exit_code for check in self.checks), default=0)


def check(
    targets: Sequence[Target], *, baseline: Baseline | None = None, why: bool = False
) -> list[Checked | Unchecked]:
    """Hold each placement to its budget, and to the baseline if there is one.

    Each distinct network is built and traced once.

    Args:
        targets: the placements.
        baseline: figures that were accepted before.
        why: whether to look for the cheapest change that would meet the limits.

    Returns:
        The results in the order of the placements' names.
    """
    results = [
        priced if isinstance(priced, Unchecked) else _checked(target, priced, baseline, why)
        for target, priced in _priced(targets)
    ]
    return sorted(results, key=name_of)


def name_of(result: Checked | Unchecked) -> str:
    """The name of the placement that a result is of."""
    return result.target.name if isinstance(result, Checked) else result.name


def figures(targets: Sequence[Target]) -> dict[str, dict[Metric, Figure]]:
    """Every figure of every placement, by its name, for a baseline.

    Raises:
        BamctlError: one of them cannot be measured.
    """
    found: dict[str, dict[Metric, Figure]] = {}
    for target, priced in _priced(targets):
        if isinstance(priced, Unchecked):
            raise BamctlError(priced.reason)
        found[target.name] = {metric: measure(priced) for metric, measure in MEASURES.items()}
    return found


def _priced(targets: Sequence[Target]) -> Iterator[tuple[Target, Priced | Unchecked]]:
    """Each placement on its network; those of one network follow each other."""
    subject: Subject | None = None
    key = None
    for target in sorted(targets, key=_network):
        try:
            if subject is None or key != _network(target):
                # Let go of the last network before the next one is built.
                subject, key = None, _network(target)
                subject = load_subject(target.placement)
            yield target, price(subject, target.placement)
        except BamctlError as error:
            text = f"{target.name}: {error}" if target.file else str(error)
            yield target, Unchecked(target.name, text, error.exit_code)


def _network(target: Target) -> str:
    own = target.placement
    return repr((own.model, own.input, own.num_classes, own.stem))


def _checked(target: Target, priced: Priced, baseline: Baseline | None, why: bool) -> Checked:
    checks = [*_against_budget(target, priced)]
    advice = advise(priced, _static_limits(checks)) if why else None
    if baseline is not None:
        checks += _against_baseline(target, priced, baseline)
    return Checked(target, priced.placed, tuple(checks), advice)


def _static_limits(checks: Sequence[Check]) -> dict[Metric, Fraction]:
    """The limits that must be met, but for that of a time, which would have to be measured."""
    return {
        metric: check.limit
        for metric in MEASURES
        for check in checks
        if check.metric == metric and check.level == "error" and check.limit is not None
    }


def _against_budget(target: Target, priced: Priced) -> Iterator[Check]:
    budget = target.placement.budget
    for metric, allowance in (budget.allowances() if budget else {}).items():
        line, note = target.line(metric), ""
        try:
            if isinstance(allowance, LatencyAllowance):
                figure, note = latency(priced, allowance)
            else:
                figure = MEASURES[metric](priced)
        except BamctlError as error:
            figure, limit = Figure(0, 0), None
            yield Check(metric, figure, limit, allowance.max, allowance.level, line, str(error))
            continue
        limit = parse_limit(metric, allowance.max).above(figure.base)
        yield Check(metric, figure, limit, allowance.max, allowance.level, line, note)


def _against_baseline(target: Target, priced: Priced, baseline: Baseline) -> Iterator[Check]:
    for metric, measure in MEASURES.items():
        figure, limit = measure(priced), baseline.limit(target.name, metric)
        note = "not in the baseline; accept it with `bamctl check --save-baseline`"
        if limit is not None:
            note = baseline.cause(target.name, metric, figure)
        yield Check(metric, figure, limit, f"baseline {baseline.tolerance}", note=note)
