"""What a comparison goes on with: only what is its own, whole, and of its configuration."""

import json
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training.experiment import Experiment
from bamctl.training.run_folder import read_config
from bamctl.training.watching import NullObserver
from bamctl.weights import checkpoints
from tests.networks import Tiny
from tests.training.conftest import small, weights

RECIPE = {"steps": 8, "eval_every": 2, "warmup_steps": 0}


class Listener(NullObserver):
    """Remembers what it was told, and which runs began at which step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.began: dict[tuple[str, int], int] = {}
        self._stop_at = stop_at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run_started(self, arm: str, seed: int, step: int) -> None:
        self.began[arm, seed] = step

    def stepped(self, step: int, loss: float | None) -> None:
        if step == self._stop_at and ("baseline", 1) in self.began:
            raise KeyboardInterrupt


def run(folder: Path, data: Data, *, stop_at: int | None = None) -> Listener:
    """A comparison from its start to its end, or to a step of the first arm's second seed."""
    listener = Listener(stop_at)
    experiment = Experiment(small(recipe=RECIPE), data)
    if stop_at is None:
        experiment.run(folder, listener)
    else:
        with pytest.raises(KeyboardInterrupt):
            experiment.run(folder, listener)
    return listener


def resume(folder: Path, data: Data) -> Listener:
    listener = Listener()
    Experiment(read_config(folder), data).run(folder, listener, resume=True)
    return listener


@pytest.fixture(scope="module")
def finished(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(folder, digits)
    return folder


@pytest.fixture(scope="module")
def stopped(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that was ended in its third run, with states after steps 2 and 4."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("stopped") / "run"
    run(folder, digits, stop_at=5)
    return folder


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "run"))


def metrics(folder: Path) -> list[str]:
    """The evaluations, run by run, as they stand in the file."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return sorted(lines, key=lambda line: (json.loads(line)["seed"], json.loads(line)["arm"]))


def weights_of(folder: Path, arm: str, seed: int) -> Path:
    return folder / "weights" / f"{arm}.seed-{seed}.safetensors"


def state_of(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / "baseline.seed-1" / f"step-{step:09}.safetensors"


def lines_changed(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        path = folder / "metrics.jsonl"
        path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))

    return tamper


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def header_changed(path: Path, key: str, **changes: object) -> None:
    """The same tensors, under a header that says something else."""
    values = metadata(path)
    values[key] = json.dumps({**json.loads(values[key]), **changes})
    save_file(load_file(path), path, values)


def byte_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 4
    path.write_bytes(content)


def test_a_finished_comparison_has_nothing_left_to_do(
    finished: Path, digits: Data, tmp_path: Path
) -> None:
    told = resume(copied(finished, tmp_path), digits)
    assert (told.notes, told.began) == ([], {})


# The first run's last line is the fourth of its evaluations, after 2, 4, 6 and 8 steps.
FINISHED: dict[str, tuple[Callable[[Path], None], str]] = {
    "without its last line": (lines_changed(lambda lines: lines[:3] + lines[4:]), "metrics.jsonl"),
    "two lines the other way round": (
        lines_changed(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]]),
        "metrics.jsonl",
    ),
    "another accuracy": (
        lines_changed(
            lambda lines: [
                json.dumps({**json.loads(line), "accuracy": 0.99}) if i == 3 else line
                for i, line in enumerate(lines)
            ]
        ),
        "metrics.jsonl",
    ),
    "another time": (
        lambda folder: (folder / "timing.jsonl").write_text(
            re.sub(r'step": [\d.e-]+', 'step": 9', (folder / "timing.jsonl").read_text(), count=1)
        ),
        "timing.jsonl",
    ),
    "weights of no bytes": (
        lambda folder: weights_of(folder, "baseline", 0).write_bytes(b""),
        "is damaged",
    ),
    "weights without a tensor": (
        lambda folder: save_file({}, weights_of(folder, "baseline", 0), {"format": "pt"}),
        "is empty",
    ),
    "a changed weight": (
        lambda folder: byte_changed(weights_of(folder, "baseline", 0)),
        "is damaged: checksum mismatch",
    ),
    "weights of another seed": (
        lambda folder: shutil.copy(
            weights_of(folder, "baseline", 1), weights_of(folder, "baseline", 0)
        ),
        "belongs to baseline, seed 1",
    ),
    "weights of another arm": (
        lambda folder: shutil.copy(
            weights_of(folder, "bottleneck", 0), weights_of(folder, "baseline", 0)
        ),
        "belongs to bottleneck, seed 0",
    ),
    "weights that say another seed": (
        lambda folder: header_changed(weights_of(folder, "baseline", 0), "bamctl_run", seed=7),
        "is damaged: checksum mismatch",
    ),
}


@pytest.mark.parametrize("case", FINISHED)
def test_a_finished_run_that_does_not_fit_is_trained_again(
    case: str, finished: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    tamper, words = FINISHED[case]
    tamper(folder)
    told = resume(folder, digits)
    assert told.began == {("baseline", 0): 0}
    (note,) = told.notes
    assert words in note
    assert "retraining baseline, seed 0" in note
    assert weights(folder) == weights(finished)
    assert metrics(folder) == metrics(finished)


def old_state(path: Path) -> None:
    """As it was written before states said which run they are of: a checksum of tensors alone."""
    tensors = load_file(path)
    values = json.loads(metadata(path)["bamctl_training"])
    crc = 0
    for name in sorted(tensors):
        raw = tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes()
        crc = zlib.crc32(raw, zlib.crc32(name.encode(), crc))
    kept = {name: value for name, value in values.items() if name not in ("run", "checksum")}
    save_file(tensors, path, {"bamctl_training": json.dumps({**kept, "crc32": crc})})


def old_weights(path: Path) -> None:
    kept = {name: text for name, text in metadata(path).items() if name != "bamctl_run"}
    save_file(load_file(path), path, kept)


# The state that a run goes on from, and what is said: after 4 steps, or else after 2.
STOPPED: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "as it was": (lambda folder: None, 4, ""),
    "a changed byte": (lambda folder: byte_changed(state_of(folder, 4)), 2, "is damaged"),
    "another step in the header": (
        lambda folder: header_changed(state_of(folder, 4), "bamctl_training", step=6),
        2,
        "is damaged: checksum mismatch",
    ),
    "another step in the name": (
        lambda folder: state_of(folder, 4).rename(state_of(folder, 6)),
        2,
        "belongs to a different step",
    ),
    "another accuracy": (
        lines_changed(
            lambda lines: [
                json.dumps({**json.loads(line), "accuracy": 0.99}) if i == 9 else line
                for i, line in enumerate(lines)
            ]
        ),
        2,
        "does not match metrics.jsonl",
    ),
}


@pytest.mark.parametrize("case", STOPPED)
def test_a_state_that_does_not_fit_gives_way_to_the_one_before(
    case: str, stopped: Path, finished: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(stopped, tmp_path)
    tamper, step, words = STOPPED[case]
    tamper(folder)
    told = resume(folder, digits)
    assert told.began == {("baseline", 1): step, ("bottleneck", 1): 0}
    assert len(told.notes) == bool(words)
    assert words in "".join(told.notes)
    assert weights(folder) == weights(finished)
    assert metrics(folder) == metrics(finished)


@pytest.mark.parametrize("other", [("bottleneck", 1), ("baseline", 0)])
def test_a_state_of_another_run_is_not_gone_on_with(
    other: tuple[str, int], stopped: Path, finished: Path, digits: Data, tmp_path: Path
) -> None:
    """From another comparison of the same configuration, ended in that run."""
    folder, elsewhere = copied(stopped, tmp_path), tmp_path / "elsewhere"

    class Ended(Listener):
        def stepped(self, step: int, loss: float | None) -> None:
            if step == 5 and other in self.began:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Experiment(small(recipe=RECIPE), digits).run(elsewhere, Ended())
    place = elsewhere / "checkpoints" / f"{other[0]}.seed-{other[1]}"
    shutil.copy(place / state_of(folder, 4).name, state_of(folder, 4))
    told = resume(folder, digits)
    assert told.began["baseline", 1] == 2
    assert f"belongs to {other[0]}, seed {other[1]}" in told.notes[0]
    assert weights(folder) == weights(finished)


def test_evaluations_without_weights_are_made_again(
    stopped: Path, finished: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(stopped, tmp_path)
    shutil.rmtree(folder / "checkpoints")
    told = resume(folder, digits)
    assert told.began["baseline", 1] == 0
    assert "2 evaluations of baseline, seed 1, but no matching weights" in told.notes[0]
    assert metrics(folder) == metrics(finished)


CHANGES = {
    "recipe.lr": (("recipe", "lr"), 0.2, "recipe.lr is 0.2, expected 0.1"),
    "recipe.steps": (("recipe", "steps"), 4, "recipe.steps is 4, expected 8"),
    "an input": (("input",), "3x40x40", "input"),
    "a placement": (
        ("placements", "bottleneck", "attention", "reduction"),
        2,
        "placement.attention.reduction is 2, expected 16",
    ),
}


@pytest.mark.parametrize("which", ["finished", "stopped"])
@pytest.mark.parametrize("case", CHANGES)
def test_another_configuration_is_refused(
    case: str, which: str, digits: Data, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = copied(request.getfixturevalue(which), tmp_path)
    path, value, words = CHANGES[case]
    data = inner = yaml.safe_load((folder / "config.yaml").read_text())
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"was trained with a different config\.yaml") as error:
        resume(folder, digits)
    assert words in str(error.value)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_run_that_diverged_is_finished(digits: Data, tmp_path: Path) -> None:
    """Its last line is that of the step at which it did, and its weights are not finite."""
    config = small(seeds=[0], recipe={**RECIPE, "steps": 20, "lr": 9e5})
    Experiment(config, digits).run(tmp_path / "run", NullObserver())
    assert json.loads(metrics(tmp_path / "run")[-1])["diverged"]
    told = resume(tmp_path / "run", digits)
    assert (told.notes, told.began) == ([], {})


def test_other_pretrained_weights_are_refused(digits: Data, tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "w.safetensors", Tiny(), None)
    config = small(
        recipe={**RECIPE, "steps": 2}, seeds=[0], weights=str(tmp_path / "w.safetensors")
    )
    Experiment(config, digits).run(tmp_path / "run", NullObserver())
    assert resume(tmp_path / "run", digits).began == {}
    other: dict[str, Tensor] = {name: t + 1 for name, t in load_file(config.weights).items()}
    save_file(other, config.weights)
    with pytest.raises(InputError, match="weights is"):
        resume(tmp_path / "run", digits)


def test_a_folder_of_an_older_version_is_taken_and_that_is_said(
    stopped: Path, finished: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(stopped, tmp_path)
    for path in (folder / "weights").iterdir():
        old_weights(path)
    for step in (2, 4):
        old_state(state_of(folder, step))
    told = resume(folder, digits)
    assert told.began == {("baseline", 1): 4, ("bottleneck", 1): 0}
    (note,) = told.notes
    assert note.startswith("3 runs were saved by an older version")
    assert "cannot be verified" in note
    assert weights(folder) == weights(finished)
    assert metrics(folder) == metrics(finished)


def test_an_older_state_of_another_network_is_refused(
    stopped: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(stopped, tmp_path)
    tensors = load_file(state_of(folder, 4))
    values = metadata(state_of(folder, 4))
    del tensors["model/head.weight"]
    save_file(tensors, state_of(folder, 4), values)
    old_state(state_of(folder, 4))
    with pytest.raises(InputError, match=r"4\.safetensors does not match the network .*delete it"):
        resume(folder, digits)


OLD = {
    "without its last line": FINISHED["without its last line"][0],
    "weights without a tensor": FINISHED["weights without a tensor"][0],
    "weights of another arm": FINISHED["weights of another arm"][0],
}


@pytest.mark.parametrize("case", OLD)
def test_what_shows_without_checksums_is_seen_in_an_older_folder_too(
    case: str, finished: Path, digits: Data, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    for path in (folder / "weights").iterdir():
        old_weights(path)
    OLD[case](folder)
    told = resume(folder, digits)
    assert told.began == {("baseline", 0): 0}
    assert weights(folder) == weights(finished)
    assert metrics(folder) == metrics(finished)
