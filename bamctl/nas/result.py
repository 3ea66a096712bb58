"""Results of a search: the front, the trials, and which choices accuracy depended on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from bamctl.files.atomic import make_folder, short_name
from bamctl.nas._front import hypervolume, is_front
from bamctl.nas._trials import RACES, REASON, candidate
from bamctl.nas.config import SearchConfig
from bamctl.nas.goals import parse_goal
from bamctl.nas.setup import SearchSetup
from bamctl.nas.study import Study
from bamctl.placement.metrics import Amount
from bamctl.placement.placement import Placement
from bamctl.results import Displayed
from bamctl.training.arms import BASELINE
from bamctl.training.evidence import Evidence

_TREES_SEED = 0


@dataclass(frozen=True)
class Candidate:
    """A finished trial: its sites, its accuracy, and what it adds to each figure.

    `steps` is the length of its training, shorter where halving stopped it. `accuracy` is that on
    the held-out images, averaged over the search's seeds.
    """

    number: int
    name: str
    codes: tuple[int, ...]
    placement: Placement | None
    accuracy: float
    steps: int
    added: dict[str, Amount]


@dataclass(frozen=True)
class SearchResult(Displayed):
    """The result of a search.

    `volume` is the hypervolume after each trial, as a fraction of the box between the worst and
    the best value of every objective among all trials. `importance` is each parameter's share in
    the variance of the accuracy. `evidence` is by name, for the members of the front that were
    confirmed on the fresh `seeds`; their files are in `files`.
    """

    setup: SearchSetup
    folder: Path
    trials: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    failed: dict[str, str]
    volume: tuple[float, ...]
    importance: dict[str, float]
    evidence: dict[str, Evidence]
    seeds: tuple[int, ...]
    files: dict[str, Path]

    @property
    def config(self) -> SearchConfig:
        """The search."""
        return self.setup.config

    @property
    def baseline(self) -> Candidate:
        """The network without attention."""
        return next(trial for trial in self.trials if trial.name == BASELINE)


def gather(setup: SearchSetup, study: Study, folder: Path) -> SearchResult:
    """Read the finished trials, and find the front among them."""
    trials = study.trials()
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    found = tuple(_candidate(trial, setup) for trial in ended)
    full = setup.config.steps()[-1]
    whole = [each for each in found if each.steps == full]
    values = _values(whole, setup)
    chosen = [each for each, kept in zip(whole, is_front(values), strict=True) if kept]
    first = str(setup.config.objectives[0])
    return SearchResult(
        setup=setup,
        folder=folder,
        trials=found,
        front=tuple(sorted(chosen, key=lambda each: (each.added[first], each.accuracy))),
        failed={_name(trial): trial.user_attrs[REASON] for trial in trials if _is_told(trial)},
        volume=_volumes(values),
        importance=_importance(study, ended, full),
        evidence={},
        seeds=(),
        files={},
    )


def with_evidence(
    result: SearchResult, evidence: Mapping[str, Evidence], seeds: tuple[int, ...]
) -> SearchResult:
    """Return the result with the evidence of fresh seeds for the front."""
    return replace(result, evidence=dict(evidence), seeds=seeds)


def write_front(result: SearchResult) -> SearchResult:
    """Write a placement file for each member of the front, ready for the other commands.

    Raises:
        InputError: a file cannot be written.
    """
    folder = result.folder / "front"
    make_folder(folder)
    for old in folder.glob("*.yaml"):
        old.unlink()
    files = {}
    for member in result.front:
        if member.placement is not None:
            files[member.name] = folder / f"{short_name(member.name.replace(' ', '-'))}.yaml"
            member.placement.save(files[member.name])
    return replace(result, files=files)


def _is_told(trial: FrozenTrial) -> bool:
    """Return whether a trial failed for a reason to report."""
    reason = trial.user_attrs.get(REASON)
    return trial.state == TrialState.FAIL and reason not in (None, *RACES)


def _name(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("name", f"trial {trial.number}"))


def _candidate(trial: FrozenTrial, setup: SearchSetup) -> Candidate:
    codes = candidate(trial, setup.space)
    assert codes is not None
    added = setup.costs.added(np.array([codes]))[0]
    return Candidate(
        number=trial.number,
        name=_name(trial),
        codes=codes,
        placement=_placement(codes, setup) if any(codes) else None,
        accuracy=trial.values[0],
        steps=trial.user_attrs["steps"],
        added={str(goal): value for goal, value in setup.costs.amounts(added).items()},
    )


def _placement(codes: tuple[int, ...], setup: SearchSetup) -> Placement:
    """Return a candidate as a placement with network and budgets, for the other commands."""
    budget: dict[str, Any] = {}
    for name, limit in setup.config.budget.items():
        goal = parse_goal(name)
        device = {"max": limit, "device": goal.device}
        budget.setdefault(goal.name, limit if goal.device is None else device)
    own = setup.space.placement(codes).with_network(setup.config.training)
    return own.with_overrides(Placement.from_options({"budget": budget})) if budget else own


def _values(candidates: list[Candidate], setup: SearchSetup) -> np.ndarray:
    """Return one minus the accuracy and each objective, with shape (N, M), all minimized."""
    names = setup.config.objectives
    rows = [[1 - each.accuracy, *(each.added[name] for name in names)] for each in candidates]
    return np.array(rows, dtype=float).reshape(len(candidates), 1 + len(names))


def _volumes(values: np.ndarray) -> tuple[float, ...]:
    if not len(values):
        return ()
    worst, best = values.max(axis=0), values.min(axis=0)
    unit = (values - best) / np.where(worst > best, worst - best, 1)
    found = []
    front = unit[:0]
    for row in unit:
        front = np.vstack([front, row])
        front = front[is_front(front)]
        found.append(hypervolume(front, np.ones(unit.shape[1])))
    return tuple(found)


def _importance(study: Study, ended: list[FrozenTrial], steps: int) -> dict[str, float]:
    """Compute fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) over trials that took all steps."""
    whole = [trial for trial in ended if trial.user_attrs["steps"] == steps]
    if len({trial.values[0] for trial in whole}) < 2:
        return {}
    copy = optuna.create_study(directions=study.optuna.directions)
    copy.add_trials(whole)
    found = optuna.importance.get_param_importances(
        copy,
        evaluator=FanovaImportanceEvaluator(seed=_TREES_SEED),
        target=lambda trial: trial.values[0],
    )
    return dict(found)
