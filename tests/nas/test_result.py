import json
import math
from pathlib import Path

import numpy as np
import pytest

from bamctl.nas._front import is_front
from bamctl.nas._space import Space
from bamctl.nas.confirm import confirm
from bamctl.nas.jobs import Job, Outcome
from bamctl.nas.records import Records
from bamctl.nas.result import SearchResult, gather, write_front
from bamctl.placement.placement import Placement
from bamctl.placement.sites import resolve
from bamctl.training.tasks.tasks import TASKS
from tests.nas.table import Scratch, Searched, Table, score, subject
from tests.nas.test_run import local, run


def search_of_a_table(folder: Path) -> SearchResult:
    """Nothing but the number of images is needed to look accuracies up."""
    searched = Searched(changes={"trials": 40, "objectives": ["params", "macs"]})
    study = searched.study(f"sqlite:///{folder}/study.db")
    with local(Table(), 1) as engine:
        run(searched, study, engine)
    setup = searched.setup()
    return write_front(gather(setup, study, folder))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search_of_a_table(tmp_path_factory.mktemp("search"))


def test_the_front_is_what_no_trial_dominates(found: SearchResult) -> None:
    values = np.array(
        [[-t.score, t.added["params"], t.added["macs"]] for t in found.trials], dtype=float
    )
    expected = {
        trial.name for trial, kept in zip(found.trials, is_front(values), strict=True) if kept
    }
    assert {member.name for member in found.front} == expected
    assert len(found.front) >= 3


def test_files_of_the_front_mean_its_sites(found: SearchResult) -> None:
    assert set(found.files) == {member.name for member in found.front if member.placement}
    for member in found.front:
        if member.placement is not None:
            placement = Placement.load(found.files[member.name])
            sites = resolve(placement, subject().trunk)
            assert sites == found.setup.space.sites(member.codes)
            assert placement.budget is not None


def test_hypervolume_only_grows_and_is_a_share(found: SearchResult) -> None:
    assert len(found.volume) == len(found.trials)
    assert list(found.volume) == sorted(found.volume)
    assert 0 < found.volume[-1] <= 1


def test_importance_is_shared_out_over_the_parameters(found: SearchResult) -> None:
    assert found.importance.shares.keys() == set(found.setup.space.parameters)
    assert math.isclose(sum(found.importance.shares.values()), 1, abs_tol=1e-6)


class Counting:
    """An engine that runs a job at once, and counts."""

    slots = 2

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> object:
        from concurrent.futures import Future

        self.jobs.append(job)
        future: Future[Outcome] = Future()
        future.set_result(Table()(job))
        return future

    def close(self) -> None:
        """Nothing to let go of."""


def test_confirmation_is_paired_on_fresh_seeds_and_is_not_repeated(tmp_path: Path) -> None:
    space: Space = Searched().space
    members = {"block": space.references["block"], "bottleneck": space.references["bottleneck"]}
    engine, file = Counting(), tmp_path / "confirmation.jsonl"
    notes: list[str] = []

    def judged(seeds: range, lr: float = 0.1) -> dict[str, object]:
        records = Records(file, space, Scratch(), steps=90, search={"lr": lr}, note=notes.append)
        return confirm(
            members,
            records,
            engine,
            seeds=seeds,
            measure=TASKS["classification"].measure,
            resolution=0.001,
        )

    evidence = judged(range(1, 5))
    assert len(engine.jobs) == 3 * 4
    assert {job.seeds for job in engine.jobs} == {(1,), (2,), (3,), (4,)}
    baseline = [score(Job((), 90, (seed,)), seed) for seed in range(1, 5)]
    arm = [score(Job(space.sites(members["block"]), 90, ()), seed) for seed in range(1, 5)]
    deltas = [own - other for own, other in zip(arm, baseline, strict=True)]
    assert evidence["block"].deltas == pytest.approx(deltas)
    # More than ten points, with luck of half a point.
    assert evidence["block"].verdict == "helps"
    # What is written down is not run again.
    assert judged(range(1, 5)) == evidence
    judged(range(1, 6))
    assert len(engine.jobs) == 3 * 5
    assert notes == []
    # What is of another search, or was changed, is.
    lines = file.read_text().splitlines()
    changed = lines[14].replace('"accuracy": 0.', '"accuracy": 0.9')
    file.write_text("\n".join([*lines[:14], changed]) + "\n")
    judged(range(1, 6))
    assert len(engine.jobs) == 3 * 5 + 1
    assert file.read_text().splitlines() == lines
    judged(range(1, 6), lr=0.2)
    assert len(engine.jobs) == 3 * 5 + 1 + 15
    assert [note.split(" has ")[1].split(",")[0] for note in notes] == [
        "1 runs of another search",
        "15 runs of another search",
    ]
    # What an older version wrote says too little of itself, which is said.
    old = [{k: v for k, v in json.loads(line).items() if k != "crc32"} for line in lines]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in old))
    judged(range(1, 6))
    assert len(engine.jobs) == 3 * 5 + 1 + 15
    assert "15 runs saved by an older version" in notes[-1]
