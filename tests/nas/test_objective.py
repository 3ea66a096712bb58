from pathlib import Path

import pytest

from bamctl.nas.engines import Job, LocalEngine
from bamctl.nas.objective import Objective
from bamctl.placement.sites import Site, resolve
from bamctl.training.experiment import Experiment
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
        assert evaluate(Job(sites, 20, (0, 1))).accuracy == arm.accuracy


def test_another_process_finds_the_same(experiment: Experiment) -> None:
    evaluate = Objective(experiment.config, experiment.data)
    job = Job(_sites(experiment), 10, (3,))
    engine = LocalEngine(evaluate, 1)
    other = engine.submit(job).result().accuracy
    engine.close()
    assert evaluate(job).accuracy == other == evaluate(job).accuracy
