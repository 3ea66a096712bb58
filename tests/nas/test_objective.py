from pathlib import Path

import pytest
import torch

from bamctl.engines.engine import LocalEngine
from bamctl.nas.jobs import Job
from bamctl.nas.objective import Objective
from bamctl.placement.sites import Site, resolve
from bamctl.training import _state as states
from bamctl.training.experiment import Experiment
from bamctl.training.shared_trunks import SharedTrunks
from bamctl.training.watching import NullObserver
from bamctl.trunk._find import find_trunk
from tests.training.conftest import small


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return Experiment(small(recipe={"steps": 20, "eval_every": 7}))


def _sites(experiment: Experiment) -> tuple[Site, ...]:
    placement = experiment.arms[1].placement
    assert placement is not None
    return resolve(placement, find_trunk(experiment.networks.baseline(0), experiment.made.trace))


def test_a_trial_is_a_run_of_train(experiment: Experiment, tmp_path: Path) -> None:
    trained = experiment.run(tmp_path / "run", NullObserver())
    evaluate = Objective(experiment.config, experiment.data)
    for arm, sites in zip(trained.arms, ((), _sites(experiment)), strict=True):
        assert evaluate(Job(sites, 20, (0, 1))).score == arm.values


def test_a_trial_from_a_trunk_is_a_run_of_train(tmp_path: Path) -> None:
    """And the trunks of a search are those of a training, bit for bit, whoever trains them."""
    torch.set_num_threads(1)
    experiment = Experiment(small(trunk_steps=8, recipe={"steps": 12, "eval_every": 12}))
    trained = experiment.run(tmp_path / "run", NullObserver())
    evaluate = Objective(experiment.config, experiment.data)
    engine = LocalEngine(evaluate, 2)
    notes: list[str] = []
    try:
        trunks = SharedTrunks(experiment.config, tmp_path / "trunks", engine, notes.append)
        shared = trunks.of((0, 1))
        for arm, sites in zip(trained.arms, ((), _sites(experiment)), strict=True):
            assert engine.submit(Job(sites, 12, (0, 1), shared)).result().score == arm.values
        for seed in (0, 1):
            ours, theirs = (
                states.read(folder / "trunks" / f"seed-{seed}.safetensors").tensors
                for folder in (tmp_path, trained.folder)
            )
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        # Damaged files are trained again, and others are not.
        kept = tmp_path / "trunks" / "seed-0.safetensors"
        damaged = tmp_path / "trunks" / "seed-1.safetensors"
        before, content = kept.stat().st_mtime_ns, damaged.read_bytes()
        damaged.write_bytes(content[:-1])
        SharedTrunks(experiment.config, tmp_path / "trunks", engine, notes.append).of((0, 1))
        assert kept.stat().st_mtime_ns == before
        assert damaged.read_bytes() == content
        assert len(notes) == 1
        assert "retraining the trunk of seed 1" in notes[0]
    finally:
        engine.close()


def test_another_process_finds_the_same(experiment: Experiment) -> None:
    evaluate = Objective(experiment.config, experiment.data)
    job = Job(_sites(experiment), 10, (3,))
    engine = LocalEngine(evaluate, 1)
    other = engine.submit(job).result().score
    engine.close()
    assert evaluate(job).score == other == evaluate(job).score
