"""Checks of placements against their budgets and a baseline of accepted figures."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path

from bamctl.budgets._advice import advise
from bamctl.budgets._past import Found, found_by
from bamctl.budgets.against import Against, Comparison, limit_from
from bamctl.budgets.baseline import Baseline, load
from bamctl.budgets.figures import Figure, Priced, figure, figure_on, figures_of, spent
from bamctl.budgets.history import Record, append
from bamctl.budgets.pricing import NotPriced, price_all
from bamctl.budgets.results import Check, Checked, CheckResult
from bamctl.budgets.targets import PLACEMENTS, Target, Unchecked, find_targets
from bamctl.errors import BamctlError, InputError
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.budget import DeviceAllowance, parse_limit
from bamctl.placement.metrics import static
from bamctl.placement.placement import Placement


def check(
    targets: str | Path | Placement | Sequence[str | Path | Placement] = PLACEMENTS,
    *,
    model: str | NetworkSpec | None = None,
    baseline: str | Path | Baseline | None = None,
    against: str | None = None,
    strict: bool = False,
    record: str | Path | None = None,
    why: bool = False,
) -> CheckResult:
    """Hold placements to their budgets, and to a baseline or another revision if there is one.

    Args:
        targets: placements, placement files, and folders of these.
        model: the network of placements that name none.
        baseline: figures that were accepted before, or their file.
        against: a branch, tag or commit of the git repository, to compare with the commit at which
            the current state left it; or `auto`, in a pipeline of a pull or merge request. Code of
            one's own is built as it was there.
        strict: fail if something cannot be compared with that revision, or if an estimate cannot
            tell whether a limit is met.
        record: a file to append a line to for each placement, with its figures.
        why: look for what spends the budget, and for the cheapest change that would meet it.

    Raises:
        InputError: there is nothing to check, or the baseline cannot be read.
    """
    listed = [targets] if isinstance(targets, str | Path | Placement) else list(targets)
    paths = [Path(each) for each in listed if not isinstance(each, Placement)]
    network = NetworkSpec(model=model) if isinstance(model, str) else model
    found = find_targets(paths, network)
    given = [Target(each) for each in listed if isinstance(each, Placement)]
    accepted = load(Path(baseline)) if isinstance(baseline, str | Path) else baseline
    every_target, is_recorded = [*given, *found.targets], record is not None
    comparison = None
    if against is None:
        results = check_targets(every_target, baseline=accepted, why=why, every=is_recorded)
    else:
        with Against(against, every_target, paths, network) as other:
            results, comparison = _beside(other, every_target, accepted, why, every=is_recorded)
    every = sorted([*results, *found.unreadable], key=attrgetter("name"))
    history: tuple[Record, ...] = ()
    if record is not None:
        history = append(Path(record), {r.name: r.figures for r in every if isinstance(r, Checked)})
    return CheckResult(tuple(every), found.without_budget, why, comparison, strict, history)


def _beside(
    other: Against,
    targets: Sequence[Target],
    baseline: Baseline | None,
    why: bool,
    *,
    every: bool,
) -> tuple[list[Checked | Unchecked], Comparison]:
    """Check placements, and compare them with those of a revision."""
    keys = {id(target): key for key, target in other.shared.items()}
    today: dict[str, Found] = {}
    past: dict[str, Found] = {}
    results: list[tuple[Target, Checked | Unchecked]] = []
    for target, result in price_all([*targets, *other.shared.values()]):
        if id(target) in keys:
            past[keys[id(target)]] = found_by(result)
            continue
        metrics = None if every else other.metrics(target)
        found = _checked(target, result, baseline, why, metrics)
        today[target.key] = found.reason if isinstance(found, Unchecked) else found.figures
        results.append((target, found))
    comparison = other.comparison(today, past)
    compared = [_with_differences(target, found, comparison) for target, found in results]
    return compared, comparison


def _with_differences(
    target: Target, found: Checked | Unchecked, comparison: Comparison
) -> Checked | Unchecked:
    """Return a result with the checks of differences that its budget limits."""
    budget, past = target.placement.budget, comparison.before(found.name)
    if isinstance(found, Unchecked) or not budget or not budget.against or past is None:
        return found
    more = [
        Check(
            metric,
            past.after[metric],
            limit_from(past.before[metric], allowance.max, metric),
            f"{comparison.ref} {_added(allowance.max)}",
            allowance.level,
            target.limit_line("against", metric),
        )
        for metric, allowance in budget.against.items()
        if metric in past.before and metric in past.after
    ]
    return replace(found, checks=(*found.checks, *more))


def _added(limit: str) -> str:
    return limit if limit.startswith("+") else f"+{limit}"


def check_targets(
    targets: Sequence[Target],
    *,
    baseline: Baseline | None = None,
    why: bool = False,
    every: bool = False,
) -> list[Checked | Unchecked]:
    """Hold each placement to its budget, and to the baseline if there is one.

    Each distinct network is built and traced once.

    Args:
        targets: the placements.
        baseline: figures that were accepted before.
        why: whether to look for the cheapest change that would meet the limits.
        every: whether to take the figures too that nothing limits.

    Returns:
        The results in the order of the placements' names.
    """
    metrics = None if every else ()
    results = [
        _checked(target, result, baseline, why, metrics) for target, result in price_all(targets)
    ]
    return sorted(results, key=attrgetter("name"))


def figures(targets: Sequence[Target]) -> dict[str, dict[str, Figure]]:
    """Return every figure of every placement, by its key, for a baseline.

    Raises:
        BamctlError: one of them cannot be measured.
    """
    found: dict[str, dict[str, Figure]] = {}
    for target, result in price_all(targets):
        if isinstance(result, NotPriced):
            raise BamctlError(_unchecked(target, result).reason)
        try:
            found[target.key] = {metric: figure(metric, result) for metric in static()}
        except BamctlError as error:
            raise BamctlError(f"{target.name}: {error}") from error
    return found


def _unchecked(target: Target, why: NotPriced) -> Unchecked:
    error = why.error
    if target.file is None:
        return Unchecked(target.name, str(error), error.exit_code, None)
    key = error.key if isinstance(error, InputError) else None
    line = target.error_line(key or why.about)
    text = f"{target.name}:{line}: {error}"
    return Unchecked(target.name, text, error.exit_code, target.name, line)


def _checked(
    target: Target,
    result: Priced | NotPriced,
    baseline: Baseline | None,
    why: bool,
    metrics: Collection[str] | None,
) -> Checked | Unchecked:
    """Check a placement, and take the figures of some metrics, or with None of all."""
    if isinstance(result, NotPriced):
        return _unchecked(target, result)
    checks = [*_against_budget(target, result)]
    if baseline is not None:
        checks += _against_baseline(target, result, baseline)
    uncounted = result.placed.total.uncounted + Counter(result.subject.trace.uncounted)
    found = Checked(
        target,
        result.subject.trunk,
        result.placed,
        tuple(checks),
        figures_of(result, metrics),
        dict(uncounted),
    )
    if not why or not found.exit_code:
        return found
    return replace(found, spent=spent(result), advice=advise(result, _static_limits(checks)))


def _static_limits(checks: Sequence[Check]) -> dict[str, Fraction]:
    """Return the limits that must be met, except of times, which would have to be measured."""
    limits: dict[str, Fraction] = {}
    for check in checks:
        if check.metric in static() and check.level == "error" and check.limit is not None:
            limits[check.metric] = min(check.limit, limits.get(check.metric, check.limit))
    return limits


def _against_budget(target: Target, priced: Priced) -> Iterator[Check]:
    budget = target.placement.budget
    for metric, allowance in (budget.allowances() if budget else {}).items():
        text, level, line, note = allowance.max, allowance.level, target.limit_line(metric), ""
        try:
            if isinstance(allowance, DeviceAllowance):
                found, note = figure_on(metric, priced, allowance)
            else:
                found = figure(metric, priced)
        except BamctlError as error:
            yield Check(metric, None, None, text, level, line, str(error))
        else:
            limit = parse_limit(metric, text).above(found.base)
            yield Check(metric, found, limit, text, level, line, note)


def _against_baseline(target: Target, priced: Priced, baseline: Baseline) -> Iterator[Check]:
    text = f"baseline {baseline.tolerance}"
    for metric in static():
        limit = baseline.limit(target.key, metric)
        if limit is None:
            yield Check(metric, None, None, text, note=_unknown(target, priced, baseline))
            continue
        try:
            found = figure(metric, priced)
        except BamctlError as error:
            yield Check(metric, None, limit, text, note=str(error))
        else:
            note = baseline.cause(target.key, metric, found)
            yield Check(metric, found, limit, text, note=note)


def _unknown(target: Target, priced: Priced, baseline: Baseline) -> str:
    """Report a figure that the baseline lacks, and the entry that a renamed file may have."""
    accept = "accept it with `bamctl check --save-baseline`"
    if target.file is None or target.key in baseline.figures:
        return f"not in the baseline; {accept}"
    old = baseline.renamed(figures_of(priced))
    if old is None:
        return f"not in the baseline; {accept}"
    return f"not in the baseline; if it was {old} before, rename it there; else {accept}"
