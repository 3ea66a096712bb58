"""A comparison: fair, repeatable, and the same however often it is interrupted."""

import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.placement.placement import Placement
from bamctl.training.config import TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.result import Result
from bamctl.training.run_folder import read_config
from bamctl.training.watching import Evaluation, NullObserver
from bamctl.weights import checkpoints
from tests.conftest import REPOSITORY
from tests.console import Process
from tests.training.conftest import small, weights


class Listener(NullObserver):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Held(NullObserver):
    """Holds the run after some evaluations, so that it is still running when it is killed."""

    def __init__(self, evaluations: int) -> None:
        self.left = evaluations

    def evaluated(self, arm: str, seed: int, evaluation: Evaluation) -> None:
        self.left -= 1
        while self.left <= 0:
            time.sleep(1)


# Enough to be interrupted and gone on with, where nothing has to be learned.
BRIEF = small(recipe={"steps": 18, "eval_every": 3})


@pytest.fixture(scope="module")
def whole(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The small comparison without an interruption."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    return Experiment(small(), digits).run(folder, NullObserver())


@pytest.fixture(scope="module")
def brief(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A shorter one without an interruption."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("brief") / "run"
    return Experiment(BRIEF, digits).run(folder, NullObserver())


def test_it_learns_and_is_judged(whole: Result) -> None:
    assert [each.arm.name for each in whole.arms] == ["baseline", "bottleneck"]
    for each in whole.arms:
        assert len(each.values) == 2
        assert min(each.values) > 0.25
        assert list(each.curve) == list(range(5, 61, 5))
        assert each.seconds_per_step > 0
        assert each.diverged == 0
    (found,) = whole.comparisons
    deltas = [a - b for a, b in zip(whole.arms[1].values, whole.arms[0].values, strict=True)]
    assert found.evidence.deltas == pytest.approx(deltas)


def test_the_accuracy_is_that_of_the_weights_that_are_kept(whole: Result, digits: Data) -> None:
    experiment = Experiment(small(), digits)
    for row, arm in enumerate(experiment.arms):
        network = experiment.networks.of(arm, 1)
        kept = checkpoints.read(whole.folder / "weights" / f"{arm.name}.seed-1.safetensors")
        checkpoints.load_state(network.eval(), kept.state)
        everything = torch.arange(len(digits.held_out))
        batch = digits.held_out.batch(everything, None)
        with torch.no_grad():
            named = network(digits.normalized(batch.inputs)).argmax(1)
        right = (named == batch.targets).float().mean().item()
        assert whole.arms[row].values[1] == pytest.approx(right)
    assert kept.required_placement().where == ["one", "two"]


def test_the_configuration_alone_repeats_it(brief: Result, tmp_path: Path) -> None:
    config = TrainingConfig.load(brief.folder / "config.yaml")
    again = Experiment(config).run(tmp_path / "again", NullObserver())
    assert weights(again.folder) == weights(brief.folder)
    assert metrics(again.folder) == metrics(brief.folder)


def metrics(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


CHILD = """
import resource
from pathlib import Path
from bamctl.errors import BamctlError
from tests.training.test_experiment import Held, Listener, run_to_the_end, small
folder = Path({folder!r})
"""


def in_a_child(work: str, folder: Path) -> Process:
    """Run statements in a process of its own, which works in a folder.

    No fork of this one would do: PyTorch trains in no fork of a process whose backward passes have
    started threads, as those of other tests may have.
    """
    program = folder.with_name("child.py")
    program.write_text(CHILD.format(folder=str(folder)) + work)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    out, err = (os.open(folder.with_name(name), flags) for name in ("out", "err"))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return Process([str(program)], folder.parent, environment, out, err)


def run_to_the_end(
    folder: Path,
    data: Data | None = None,
    progress: NullObserver | None = None,
    config: TrainingConfig = BRIEF,
) -> None:
    torch.set_num_threads(1)
    experiment = Experiment(config, data)
    experiment.run(folder, progress or NullObserver(), resume=(folder / "config.yaml").exists())


def num_lines(folder: Path) -> int:
    lines = folder / "metrics.jsonl"
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def kill(child: Process) -> None:
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL


def wait_for_a_line_beyond(folder: Path, count: int, child: Process) -> None:
    while num_lines(folder) <= count:
        assert child.poll() is None, folder.with_name("err").read_text()
        time.sleep(0.002)


def test_killed_twenty_times_it_ends_the_same(whole: Result, tmp_path: Path) -> None:
    """Killed at random moments, most of them while something is being written.

    Each time, the run is held after two of its 48 evaluations, so that none can end.
    """
    folder, drawn = tmp_path / "run", random.Random(0)
    for _ in range(20):
        child = in_a_child("run_to_the_end(folder, None, Held(2), small())", folder)
        # It has begun to train when it writes; the moment is drawn from what comes after.
        wait_for_a_line_beyond(folder, num_lines(folder), child)
        time.sleep(drawn.uniform(0, 0.1))
        kill(child)
    child = in_a_child("run_to_the_end(folder, config=small())", folder)
    assert child.wait(180) == 0, folder.with_name("err").read_text()
    assert weights(folder) == weights(whole.folder)
    assert (folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    assert not list((folder / "checkpoints").iterdir())


def killed_after(folder: Path, count: int) -> None:
    child = in_a_child(f"run_to_the_end(folder, None, Held({count + 1}))", folder)
    wait_for_a_line_beyond(folder, count, child)
    kill(child)


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty", "not one of ours"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: str, brief: Result, digits: Data, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    killed_after(folder, 2)
    (states,) = (folder / "checkpoints").iterdir()
    last = sorted(states.glob("step-*"))[-1]
    content = bytearray(last.read_bytes())
    content[-100] ^= 1
    last.write_bytes(
        {"cut off": content[: len(content) // 2], "changed": content, "empty": b""}.get(
            damage, b"x" * 100
        )
    )
    listener = Listener()
    run_to_the_end(folder, digits, listener)
    assert any(f"{last} is damaged" in note for note in listener.notes)
    assert weights(folder) == weights(brief.folder)


def test_without_room_for_a_checkpoint_it_goes_on(
    brief: Result, digits: Data, tmp_path: Path
) -> None:
    """Files may grow to 30 kB: enough for the metrics, and too little for any weights."""
    folder, told = tmp_path / "run", tmp_path / "told"
    child = in_a_child(CRAMPED.format(told=str(told)), folder)
    assert child.wait(180) == 0, (tmp_path / "err").read_text()
    notes = told.read_text().splitlines()
    assert any(note.startswith("checkpoint at step 3 not saved: ") for note in notes)
    # The final weights have no room either, and that is where it ends.
    assert "--resume" in notes[-1]
    run_to_the_end(folder, digits)
    assert weights(folder) == weights(brief.folder)


CRAMPED = """
listener = Listener()
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    run_to_the_end(folder, None, listener)
except BamctlError as error:
    listener.notes.append(str(error))
Path({told!r}).write_text("\\n".join(listener.notes))
"""
NO_LINE = """
resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
try:
    run_to_the_end(folder)
except BamctlError as error:
    assert "File too large" in str(error) and "--resume" in str(error), error
else:
    raise SystemExit("it had room")
"""


def test_without_room_for_a_line_no_line_is_half_written(
    brief: Result, digits: Data, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert in_a_child(NO_LINE, folder).wait(180) == 0, (tmp_path / "err").read_text()
    assert (folder / "metrics.jsonl").read_bytes().endswith(b"}\n")
    run_to_the_end(folder, digits)
    assert (folder / "metrics.jsonl").read_bytes() == (brief.folder / "metrics.jsonl").read_bytes()


def test_more_seeds_are_added_to_those_that_are_there(
    brief: Result, digits: Data, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    Experiment(BRIEF.model_copy(update={"seeds": [0]}), digits).run(folder, NullObserver())
    more = Experiment(BRIEF, digits).run(folder, NullObserver(), resume=True)
    assert weights(folder) == weights(brief.folder)
    assert more.arms[0].values == brief.arms[0].values
    assert read_config(folder).seeds == [0, 1]


def test_a_folder_is_not_written_over_or_shared(digits: Data, tmp_path: Path) -> None:
    experiment = Experiment(small(seeds=[0], recipe={"steps": 5}), digits)
    experiment.run(tmp_path / "run", NullObserver())
    with pytest.raises(InputError, match="already exists"):
        experiment.run(tmp_path / "run", NullObserver())

    class Intruder(NullObserver):
        def stepped(self, step: int, loss: float | None) -> None:
            with pytest.raises(InputError, match="in use"):
                experiment.run(tmp_path / "other", NullObserver(), resume=True)

    experiment.run(tmp_path / "other", Intruder())


def test_what_was_lost_of_a_folder_is_found_again(
    brief: Result, digits: Data, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for lost in ("metrics.jsonl", "timing.jsonl"):
        run_to_the_end(folder, digits)
        (folder / lost).unlink()
    run_to_the_end(folder, digits)
    assert weights(folder) == weights(brief.folder)
    assert metrics(folder) == metrics(brief.folder)


def test_other_images_are_another_comparison(digits: Data, tmp_path: Path) -> None:
    config = Experiment(small(), digits).config
    fewer = replace(digits, train=digits.train.subset(range(1000)))
    with pytest.raises(InputError, match="have changed since"):
        Experiment(config, fewer)


def test_a_diverged_run_is_stopped_and_counted(digits: Data, tmp_path: Path) -> None:
    config = small(seeds=[0, 1], recipe={"lr": 9e5, "warmup_steps": 0})
    found = Experiment(config, digits).run(tmp_path / "run", NullObserver())
    for each in found.arms:
        assert each.diverged == 2
        assert each.values == (0.1, 0.1)
        assert list(each.curve) == list(range(5, 61, 5))
    lines = metrics(tmp_path / "run")
    assert all(line["train_loss"] is None for line in lines if line["diverged"])
    assert max(line["step"] for line in lines) < 60
    assert found.comparisons[0].evidence.verdict == "inconclusive"


def test_controls_and_several_placements(digits: Data, tmp_path: Path) -> None:
    placements = {"one": Placement(where="one"), "both": Placement(where=["one", "two"])}
    config = small(seeds=[0, 1], control=True, placements=placements, recipe={"steps": 5})
    found = Experiment(config, digits).run(tmp_path / "run", NullObserver())
    assert [(c.arm, c.baseline) for c in found.comparisons] == [
        ("one", "baseline"),
        ("one", "one:extra-block"),
        ("one", "one:wider"),
        ("both", "baseline"),
        ("both", "both:wider"),
    ]
    assert len(found.missing) == 1
    assert "no extra-block control for both" in found.missing[0]


def test_the_test_split_is_judged_once_at_the_end(tmp_path: Path) -> None:
    from tests.data.test_data import folder

    root = tmp_path / "images"
    for split, count in (("train", 12), ("val", 4), ("test", 3)):
        folder(root, split, {"a": count, "b": count})
    config = small(
        num_classes=2,
        data={"name": f"folder:{root}", "test": True},
        recipe={"steps": 5, "batch_size": 8},
    )
    found = Experiment(config).run(tmp_path / "run", NullObserver())
    for each in found.arms:
        assert len(each.test_values) == 2
    lines = metrics(tmp_path / "run")
    assert ["test_accuracy" in line for line in lines] == [True] * 4


def test_a_batch_larger_than_the_split(digits: Data) -> None:
    with pytest.raises(InputError, match="--batch-size 1438"):
        Experiment(small(recipe={"batch_size": 2000}), digits)


def test_an_image_cut_off_in_the_middle_is_refused_or_left_out(tmp_path: Path) -> None:
    """It begins like an image, so that only decoding it shows what is wrong."""
    from PIL import Image

    from tests.data.test_data import folder

    folder(folder(tmp_path, "train", {"a": 8, "b": 8}), "val", {"a": 2, "b": 2})
    path = tmp_path / "train" / "a" / "3.jpg"
    Image.effect_noise((200, 200), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:5000])
    name = f"folder:{tmp_path}"
    recipe = {"steps": 5, "batch_size": 8}
    config = small(num_classes=2, data={"name": name}, recipe=recipe)
    with pytest.raises(InputError, match=r"3\.jpg.*--bad-images skip"):
        Experiment(config).run(tmp_path / "one", NullObserver())
    data = {"name": name, "bad_images": "skip"}
    listener = Listener()
    config = small(num_classes=2, data=data, recipe=recipe)
    Experiment(config).run(tmp_path / "two", listener)
    # In two arms, two seeds and three epochs, said once.
    assert [note for note in listener.notes if "3.jpg" in note] == listener.notes[-1:]
