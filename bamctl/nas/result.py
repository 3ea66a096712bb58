"""Results of a search: the front, the trials, and which choices the score depended on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from bamctl.errors import InputError
from bamctl.files.atomic import make_folder, short_name
from bamctl.nas._front import hypervolume, is_front
from bamctl.nas._trials import RACES, REASON, candidate
from bamctl.nas.config import SearchConfig
from bamctl.nas.goals import parse_goal
from bamctl.nas.importance import Importance, importance
from bamctl.nas.race import Race, Standings
from bamctl.nas.records import Codes
from bamctl.nas.setup import SearchSetup
from bamctl.nas.study import Study
from bamctl.placement.metrics import Amount
from bamctl.placement.placement import Placement
from bamctl.results import Displayed
from bamctl.training.arms import BASELINE
from bamctl.training.evidence import Evidence


@dataclass(frozen=True)
class Candidate:
    """A finished trial: its sites, its score, and what it adds to each figure.

    `steps` is the length of its training, shorter where halving stopped it. `scores` are those
    on the held-out images, one for each of its seeds; `delta` is the mean difference to the
    baseline with the same seeds.
    """

    number: int
    name: str
    codes: Codes
    placement: Placement | None
    scores: tuple[float, ...]
    delta: float
    steps: int
    added: dict[str, Amount]

    @property
    def score(self) -> float:
        """The mean score."""
        return mean(self.scores)


@dataclass(frozen=True)
class SearchResult(Displayed):
    """The result of a search.

    `volume` is the hypervolume after each trial, as a fraction of the box between the worst and
    the best value of every objective among all trials. `importance` is that of the parameters for
    the score. `evidence` is by name, for the members of the front that were
    confirmed on the fresh `seeds`; their files are in `files`. `level` are the candidates that the
    pairs do not tell apart from the most accurate one, the cheapest first; it is empty where
    each has a single seed.
    """

    setup: SearchSetup
    folder: Path
    trials: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    level: tuple[Candidate, ...]
    failed: dict[str, str]
    volume: tuple[float, ...]
    importance: Importance
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
    """Read the finished trials, and find the front among them.

    Raises:
        InputError: not even the baseline has ended.
    """
    trials = study.trials()
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    full = setup.config.steps()[-1]
    of_baseline = [t.user_attrs["accuracy"] for t in ended if not any(_codes(t, setup))]
    if not of_baseline:
        raise InputError(
            f"{setup.config.max_minutes or 0:g} minutes are over before the baseline is trained; "
            "give more --max-minutes"
        )
    found = tuple(_candidate(trial, setup, of_baseline[0]) for trial in ended)
    return _with_front(
        SearchResult(
            setup=setup,
            folder=folder,
            trials=found,
            front=(),
            level=(),
            failed={_name(trial): trial.user_attrs[REASON] for trial in trials if _is_told(trial)},
            volume=_volumes(_values([each for each in found if each.steps == full], setup)),
            importance=importance(ended, full),
            evidence={},
            seeds=(),
            files={},
        )
    )


def standings(result: SearchResult) -> Standings:
    """Return the candidates that took all steps with as many seeds as any."""
    full = result.config.steps()[-1]
    most = max(len(each.scores) for each in result.trials)
    found = [t for t in result.trials if t.steps == full and len(t.scores) == most]
    return Standings(
        codes=tuple(each.codes for each in found),
        score=np.array([each.scores for each in found]),
        costs=_values(found, result.setup)[:, 1:],
        resolution=result.setup.resolution,
    )


def after_race(result: SearchResult, race: Race) -> SearchResult:
    """Return the result with the scores of a race; the front is of those that are left."""
    of_baseline = race.scores[result.baseline.codes]
    trials = tuple(
        replace(each, scores=own, delta=_delta(own, of_baseline))
        if (own := race.scores.get(each.codes))
        else each
        for each in result.trials
    )
    return _with_front(replace(result, trials=trials))


def _with_front(result: SearchResult) -> SearchResult:
    """Return the result with the front and the level of the candidates with the most seeds."""
    last = standings(result)
    by_codes = {each.codes: each for each in result.trials}
    values = np.column_stack([1 - last.score.mean(axis=1), last.costs])
    first = str(result.config.objectives[0])

    def cheapest_first(chosen: np.ndarray) -> tuple[Candidate, ...]:
        members = [by_codes[codes] for codes in last.keep(chosen).codes]
        return tuple(sorted(members, key=lambda each: (each.added[first], each.score)))

    told_apart = last.score.shape[1] > 1
    return replace(
        result,
        front=cheapest_first(is_front(values)),
        level=cheapest_first(last.is_level()) if told_apart else (),
    )


def _delta(scores: Sequence[float], of_baseline: Sequence[float]) -> float:
    """Return the mean difference to the baseline, over the seeds that both ran with."""
    return mean(a - b for a, b in zip(scores, of_baseline, strict=False))


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


def _codes(trial: FrozenTrial, setup: SearchSetup) -> Codes:
    """Return the candidate of a finished trial."""
    codes = candidate(trial, setup.space)
    assert codes is not None
    return codes


def _candidate(trial: FrozenTrial, setup: SearchSetup, of_baseline: Sequence[float]) -> Candidate:
    codes = _codes(trial, setup)
    added = setup.costs.added(np.array([codes]))[0]
    scores = tuple(trial.user_attrs["accuracy"])
    return Candidate(
        number=trial.number,
        name=_name(trial),
        codes=codes,
        placement=_placement(codes, setup) if any(codes) else None,
        scores=scores,
        delta=_delta(scores, of_baseline),
        steps=trial.user_attrs["steps"],
        added={str(goal): value for goal, value in setup.costs.amounts(added).items()},
    )


def _placement(codes: Codes, setup: SearchSetup) -> Placement:
    """Return a candidate as a placement with network and budgets, for the other commands."""
    budget: dict[str, Any] = {}
    for name, limit in setup.config.budget.items():
        goal = parse_goal(name)
        device = {"max": limit, "device": goal.device}
        budget.setdefault(goal.name, limit if goal.device is None else device)
    own = setup.space.placement(codes).with_network(setup.config.training)
    return own.with_overrides(Placement.from_options({"budget": budget})) if budget else own


def _values(candidates: list[Candidate], setup: SearchSetup) -> np.ndarray:
    """Return one minus the score and each objective, with shape (N, M), all minimized."""
    names = setup.config.objectives
    rows = [[1 - each.score, *(each.added[name] for name in names)] for each in candidates]
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
