"""A configuration that is written and read again is the one that it was."""

from pathlib import Path

import pytest

from bamctl.nas.config import SearchConfig
from bamctl.placement.placement import Placement
from bamctl.training.config import TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.watching import NullObserver
from tests.placement.test_placement import are_set
from tests.training.conftest import small

ARMS = {
    "plain": {"where": "block"},
    "all": {"where": "bottleneck", "stages": "all"},
    "three": {"stages": 3, "attention": {"init": "kaiming"}},
    "sites": {"insertions": {"one": {"dilation": 2}}},
    "control": {"where": ["one"], "attention": {"module": "extra-block"}},
}


def read_again(config: TrainingConfig, folder: Path) -> TrainingConfig:
    config.save(folder / "training.yaml")
    return TrainingConfig.load(folder / "training.yaml")


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    arm = Placement.from_options(ARMS[name])
    config = small(placements={name: arm})
    search = SearchConfig(training=config, trials=3)
    search.save(tmp_path / "search.yaml")
    read = [read_again(config, tmp_path), SearchConfig.load(tmp_path / "search.yaml").training]
    for each in read:
        assert each == config
        found = each.placements[name]
        assert are_set(found).get("insertions") == are_set(arm).get("insertions")
        # What these say follows from the rest of a command where they are left out.
        for own, written, field in (
            (found, arm, "stages"),
            (found.attention, arm.attention, "init"),
        ):
            assert (field in own.model_fields_set) == (field in written.model_fields_set)


def test_an_arm_that_says_its_stages_is_resumed(digits: object, tmp_path: Path) -> None:
    arms = {"all": Placement(where="bottleneck", stages="all")}
    recipe = {"steps": 2, "eval_every": 2, "warmup_steps": 0}
    config = small(placements=arms, seeds=[0], recipe=recipe)
    first = Experiment(config, digits)
    first.run(tmp_path / "run", NullObserver())
    kept = TrainingConfig.load(tmp_path / "run" / "config.yaml")
    more = kept.model_copy(update={"seeds": [0, 1]})
    result = Experiment(more, digits).run(tmp_path / "run", NullObserver(), resume=True)
    assert [len(arm.values) for arm in result.arms] == [2, 2]


def test_the_readers_of_an_older_version_were_called_workers(tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    small().save(file)
    file.write_text(file.read_text().replace("readers: 0", "workers: 3"))
    assert TrainingConfig.load(file).data.readers == 3


def test_what_older_versions_did_not_know_does_not_tell_runs_apart() -> None:
    """The keys that a run of version 0.1 was made from; a field is one as soon as it is used."""
    recipe = {"steps", "batch_size", "lr", "momentum", "weight_decay", "schedule", "warmup_steps"}
    recipe |= {"label_smoothing", "accumulate", "precision", "eval_every", "freeze_backbone_steps"}
    made_from = small().identity()
    assert set(made_from["recipe"]) == recipe
    keys = {"schema_version", "model", "args", "input", "num_classes", "stem", "recipe", "weights"}
    assert set(made_from) == keys | {"data"}
    assert set(made_from["data"]) == {"name", "fingerprint", "bad_images", "test"}
    assert small(task="video").identity()["task"] == "video"
    assert small(recipe={"clip_norm": 1.0}).identity()["recipe"]["clip_norm"] == 1.0
