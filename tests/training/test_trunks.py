"""Arms that part from a trunk: what they share, what is kept, and what a kill costs."""

from pathlib import Path

import pytest
import torch

from bamctl.data.sets import Data
from bamctl.errors import BamctlError, InputError
from bamctl.placement.placement import Placement
from bamctl.training import _state as states
from bamctl.training.config import TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.loop import Run
from bamctl.training.minutes import fit
from bamctl.training.result import Result
from bamctl.training.train import train
from bamctl.training.watching import NullObserver
from tests.training.conftest import MODEL, small, weights

STEPS, TRUNK = 12, 8


class Listener(NullObserver):
    """Remembers what it was told; may stop a run at a step."""

    def __init__(self, dies: tuple[str, int] | None = None) -> None:
        self.notes: list[str] = []
        self.started: list[tuple[str, int, int]] = []
        self._dies = dies

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run_started(self, arm: str, seed: int, step: int) -> None:
        self.started.append((arm, seed, step))

    def stepped(self, step: int, loss: float | None) -> None:
        if self._dies == (self.started[-1][0], step):
            raise KeyboardInterrupt


def configured(trunk_steps: int = TRUNK, **changes: object) -> TrainingConfig:
    recipe = {"steps": STEPS, "eval_every": 3, "warmup_steps": 2, **changes.pop("recipe", {})}
    return small(trunk_steps=trunk_steps, recipe=recipe, **changes)


def run(folder: Path, digits: Data, config: TrainingConfig, **options: object) -> Result:
    torch.set_num_threads(1)
    return Experiment(config, digits).run(folder, options.pop("watcher", Listener()), **options)


@pytest.fixture(scope="module")
def parted(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("trunk") / "run", digits, configured())


def test_the_baseline_that_parts_from_a_trunk_is_the_one_from_scratch(
    parted: Result, digits: Data, tmp_path: Path
) -> None:
    scratch = run(tmp_path / "run", digits, configured(0))
    ours, theirs = weights(parted.folder), weights(tmp_path / "run")
    of_baseline = {name for name in theirs if name.startswith("baseline")}
    assert of_baseline
    assert {name: ours[name] for name in of_baseline} == {n: theirs[n] for n in of_baseline}
    assert parted.arms[0].values == scratch.arms[0].values
    assert parted.arms[0].loss == scratch.arms[0].loss
    # The other arm has the same shared weights until the trunk ends, not until the start.
    assert parted.arms[1].values != scratch.arms[1].values


def test_arms_are_evaluated_after_the_trunk_alone(parted: Result) -> None:
    for arm in parted.arms:
        assert list(arm.curve) == [9, 12]
    assert sorted(path.name for path in (parted.folder / "trunks").iterdir()) == [
        "seed-0.safetensors",
        "seed-1.safetensors",
    ]


def test_attention_is_inserted_without_a_change_of_outputs(parted: Result, digits: Data) -> None:
    experiment = Experiment(configured(), digits)
    trunk = states.read(parted.folder / "trunks" / "seed-1.safetensors")
    networks = [experiment.networks.of(arm, 1, trunk).eval() for arm in experiment.arms]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, other = (network(images) for network in networks)
    assert torch.equal(plain, other)
    assert len(list(networks[1].parameters())) > len(list(networks[0].parameters()))


def test_the_optimizer_goes_on_and_new_parameters_start_afresh(
    parted: Result, digits: Data
) -> None:
    experiment = Experiment(configured(), digits)
    trunk = states.read(parted.folder / "trunks" / "seed-0.safetensors")
    network = experiment.networks.of(experiment.arms[1], 0, trunk)
    run = Run(network, digits, experiment.config, 0, experiment.accelerator, trunk=trunk)
    state = run.state()
    assert run.step == TRUNK
    momentum = {
        state.values["parameters"][int(key.split("/")[1].split(".")[0])]: value
        for key, value in state.tensors.items()
        if key.startswith("optimizer/")
    }
    theirs = {
        trunk.values["parameters"][int(key.split("/")[1].split(".")[0])]: value
        for key, value in trunk.tensors.items()
        if key.startswith("optimizer/")
    }
    assert momentum.keys() == theirs.keys() == set(trunk.values["parameters"])
    assert all(torch.equal(momentum[name], theirs[name]) for name in theirs)
    experiment.accelerator.free_memory()


def test_every_run_has_the_threads_of_the_comparison(digits: Data, tmp_path: Path) -> None:
    class Counting(Listener):
        def run_started(self, arm: str, seed: int, step: int) -> None:
            super().run_started(arm, seed, torch.get_num_threads())

    listener, before = Counting(), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        config = configured(seeds=[0], threads=1)
        Experiment(config, digits).run(tmp_path / "run", listener)
        assert listener.started == [("trunk", 0, 1), ("baseline", 0, 1), ("bottleneck", 0, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_arm_leaves_the_trunk_as_it_is_for_the_others(parted: Result, digits: Data) -> None:
    experiment = Experiment(configured(), digits)
    trunk = states.read(parted.folder / "trunks" / "seed-0.safetensors")
    before = {name: tensor.clone() for name, tensor in trunk.tensors.items()}
    network = experiment.networks.of(experiment.arms[1], 0, trunk)
    Run(network, digits, experiment.config, 0, experiment.accelerator, trunk=trunk).train(
        NullObserver()
    )
    assert all(torch.equal(trunk.tensors[name], before[name]) for name in before)
    experiment.accelerator.free_memory()


def test_minutes_keep_the_steps_of_a_trunk_or_else_its_share(digits: Data) -> None:
    for named, share in ((7, None), (None, TRUNK / STEPS)):
        experiment = Experiment(configured(), digits)
        fit(experiment, 60, {}, named)
        steps = experiment.config.recipe.steps
        assert steps > 1000
        assert experiment.config.trunk_steps == (named or int(share * steps))
        experiment.accelerator.free_memory()


def test_minutes_that_end_within_the_trunk_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no step to the arms after a trunk of 1000000"):
        train(MODEL, trunk_steps=1_000_000, max_minutes=0.05, seeds=1, out=tmp_path / "run")


@pytest.mark.parametrize("dies", [("trunk", 7), ("baseline", 9), ("bottleneck", 11)])
def test_an_interrupted_trunk_is_resumed_and_trained_once(
    dies: tuple[str, int], parted: Result, digits: Data, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", digits, configured(), watcher=Listener(dies))
    listener = Listener()
    run(tmp_path / "run", digits, configured(), watcher=listener, resume=True)
    assert weights(tmp_path / "run") == weights(parted.folder)
    # A state is kept every three steps.
    first = ("trunk", 0, 6) if dies[0] == "trunk" else ("trunk", 1, 0)
    assert next(each for each in listener.started if each[0] == "trunk") == first
    assert listener.notes == []


def test_a_damaged_trunk_is_trained_again(parted: Result, digits: Data, tmp_path: Path) -> None:
    run(tmp_path / "run", digits, configured())
    damaged = tmp_path / "run" / "trunks" / "seed-1.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    (tmp_path / "run" / "weights" / "bottleneck.seed-1.safetensors").unlink()
    listener = Listener()
    run(tmp_path / "run", digits, configured(), watcher=listener, resume=True)
    assert weights(tmp_path / "run") == weights(parted.folder)
    assert [text for text in listener.notes if "retraining the trunk of seed 1" in text]


def test_a_trunk_of_another_configuration_is_refused(digits: Data, tmp_path: Path) -> None:
    run(tmp_path / "run", digits, configured(seeds=[0]))
    for path in (tmp_path / "run" / "weights").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"a different config.yaml: recipe.lr"):
        run(tmp_path / "run", digits, configured(seeds=[0], recipe={"lr": 0.05}), resume=True)


def test_controls_and_a_frozen_backbone_start_from_the_trunk(digits: Data, tmp_path: Path) -> None:
    placements = {"one": Placement(where="one")}
    config = configured(
        seeds=[0], control=True, placements=placements, recipe={"freeze_backbone_steps": 4}
    )
    found = run(tmp_path / "run", digits, config)
    assert [each.arm.name for each in found.arms] == [
        "baseline",
        "one",
        "one:extra-block",
        "one:wider",
    ]
    trunk = states.read(tmp_path / "run" / "trunks" / "seed-0.safetensors")
    final = weights(tmp_path / "run")
    # Frozen for all the steps that are left: what the trunk has stays as it is.
    for name in trunk.values["parameters"]:
        kept = trunk.tensors[f"model/{name}"].numpy().tobytes()
        assert final[f"one.seed-0/{name}"] == kept


def test_a_trunk_that_diverges_is_an_error_with_a_cure(digits: Data, tmp_path: Path) -> None:
    config = configured(seeds=[0], recipe={"lr": 9e5, "warmup_steps": 0})
    with pytest.raises(BamctlError, match=r"trunk of seed 0 diverged .* smaller learning rate"):
        run(tmp_path / "run", digits, config)
