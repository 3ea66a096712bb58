"""`bamctl search` through the real console script."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY, assert_one_line_error
from tests.interrupting import is_held, started

TINY, HELD = "tests.networks:Tiny", "tests.networks:Held"
# Five trials with their trunks take 24 steps, and a round of the race at most 12.
SHORT = ["--steps", "4", "--batch-size", "32", "--max-steps", "40"]
# Each worker imports PyTorch; one does where it is not their number that counts.
QUICK = [*SHORT, "--workers", "1"]
FIVE = ["--trials", "5", "--confirm-seeds", "2"]


@pytest.fixture
def search(bamctl: object) -> object:
    """Runs a command where the tests' own network can be imported, and files may name it."""

    def run(*arguments: str, command: str = "search") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        return bamctl(command, *arguments, "--trust", TINY, env=env)

    return run


def test_a_whole_search(search: object, tmp_path: Path) -> None:
    found = search(
        TINY, "--budget", "params=+20%", *SHORT, *FIVE, "--out", "run", "--format", "json"
    )
    assert found.returncode == 0, found.stderr
    # The front by cost alone is told before any training, and how to look at the study.
    assert "different networks" in found.stderr
    assert "optuna-dashboard sqlite:///" in found.stderr
    data = json.loads(found.stdout)
    assert data["schema"] == 2
    assert len(data["trials"]) == 5
    assert [trial["name"] for trial in data["trials"][:3]] == ["baseline", "bottleneck", "block"]
    limit = 0.2 * data["base"]["params"]
    assert all(trial["added_params"] <= limit for trial in data["trials"])
    # Nothing of the front is beaten in both by any trial.
    for member in data["front"]:
        assert not any(
            trial["accuracy"] > member["accuracy"]
            and trial["added_params"] < member["added_params"]
            for trial in data["trials"]
        )
    assert len(data["hypervolume"]) == 5
    assert data["hypervolume"] == sorted(data["hypervolume"])
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == data
    # How many networks are better than the baseline after so few steps depends on the machine.
    for member in data["front"]:
        assert (member["placement"] is not None) == ("confirmed" in member)
        if member["placement"]:
            file = yaml.safe_load((tmp_path / member["file"]).read_text())
            assert file == member["placement"]


def test_a_placement_of_a_search_is_one_for_the_other_commands(
    search: object, tmp_path: Path
) -> None:
    quick = [*QUICK, "--trials", "4", "--confirm-seeds", "0", "--format", "json"]
    found = search(TINY, "--budget", "params=+20%", "--budget", "macs=+30%", *quick)
    placement = json.loads(found.stdout)["trials"][3]["placement"]
    assert placement["budget"] == {"params": "+20%", "macs": "+30%"}
    file = tmp_path / "found.yaml"
    file.write_text(yaml.safe_dump(placement))
    inserted = search("--placement", str(file), command="insert")
    assert inserted.returncode == 0, inserted.stderr
    checked = search(str(file), command="check")
    assert checked.returncode == 0, checked.stderr
    quick = ["--steps", "2", "--seeds", "1", "--batch-size", "32"]
    trained = search("--placement", str(file), *quick, command="train")
    assert trained.returncode == 0, trained.stderr


def test_a_search_is_gone_on_with_and_ends_as_if_never_stopped(
    search: object, tmp_path: Path
) -> None:
    quick = [*QUICK, "--confirm-seeds", "0", "--format", "json"]
    whole = search(TINY, *quick, "--trials", "5", "--out", "whole")
    assert search(TINY, *quick, "--trials", "4", "--out", "parts").returncode == 0
    options = ["--trials", "5", "--workers", "1", "--format", "json"]
    parts = search("--resume", "parts", *options)
    assert parts.returncode == 0, parts.stderr
    one, other = json.loads(whole.stdout), json.loads(parts.stdout)
    assert one["trials"] == other["trials"]
    assert_one_line_error(search("--resume", "parts", "--trials", "3"), "fewer than the 5")
    assert_one_line_error(search(TINY, "--resume", "parts"), "--resume", "MODEL", "leave it out")
    again = search(TINY, *quick, "--trials", "5", "--out", "parts")
    assert_one_line_error(again, "already exists", "--resume")


def test_a_dry_run_counts_and_trains_nothing(search: object, tmp_path: Path) -> None:
    found = search(TINY, "--budget", "params=+20%", "--dry-run", "--format", "json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert 1 < data["candidates_within_budget"] <= data["candidates"]
    front = data["cheapest"]
    assert front[0] == {"num_sites": 0, "placement": "none", "added_params": 0, "added_macs": 0}
    assert [each["added_params"] for each in front] == sorted(
        each["added_params"] for each in front
    )
    assert not (tmp_path / "runs").exists()


def test_exhaustive_trains_every_candidate(search: object) -> None:
    few = ["--candidates", "one", "--branches", "both", "--combine", "sum", "--dilation", "1"]
    few += ["--reduction", "8", "--reduction", "2"]
    quick = [*QUICK, "--confirm-seeds", "0", "--format", "json"]
    found = search(TINY, *few, *quick, "--exhaustive")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    # Without a module or with one of two, and the paper's strategies, which have more sites.
    assert data["candidates"] == 3
    assert {trial["name"] for trial in data["trials"]} >= {"baseline", "bottleneck", "block"}
    own = [trial["placement"]["where"] for trial in data["trials"] if trial["placement"]]
    assert own.count(["one"]) == 2
    assert len(data["trials"]) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([TINY, "--budget", "params=+0.001%"], ["params=+0.001%", "smallest achievable"]),
        ([TINY, "--budget", "parms=+2%"], ["did you mean 'params'"]),
        ([TINY, "--address", "auto"], ["--engine ray"]),
        ([TINY, "--exhaustive", "--trials", "3"], ["leave --trials out"]),
        (
            [TINY, "--candidates", "nowhere*"],
            ["no module that returns a feature map matches 'nowhere*'"],
        ),
        ([TINY, "--combine", "mean"], ["'mean' is not one of sum, product, max"]),
        ([TINY, "--study", "mine"], ["--storage"]),
        ([TINY, "--storage", "nonsense", "--out", "run"], ["is not a database URL", "sqlite:///"]),
        ([TINY, "--max-steps", "100"], ["--max-steps 100", "--trials 1"]),
        ([TINY, "--halving", "3", "--start", "trunk"], ["--halving", "leave one out"]),
        ([TINY, "--init", "kaiming"], ["identity", "--start scratch"]),
        ([], ["no model"]),
        (["--resume", "nowhere"], ["not a folder of `bamctl search`"]),
        (["--resume", "nowhere", "--seed", "0"], ["--seed would change it"]),
    ],
)
def test_bad_input_is_one_line(search: object, arguments: list[str], words: list[str]) -> None:
    found = search(*arguments)
    lines = [line for line in found.stderr.splitlines() if line.startswith("bamctl: ")]
    assert found.returncode == 2, found.stderr
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_a_password_is_in_one_private_file_and_nowhere_else(search: object, tmp_path: Path) -> None:
    # SQLite ignores a parameter that it does not know, and this one works as a URL with a secret.
    storage = "sqlite:///file:study.db?secret=hunter2&uri=true"
    quick = [*QUICK, "--trials", "1", "--confirm-seeds", "0"]
    page = ["--format", "html", "--output", "page.html"]
    made = search(TINY, *quick, "--storage", storage, "--out", "run", *page)
    assert made.returncode == 0, made.stderr
    resumed = search("--resume", "run", "--trials", "2", "--workers", "1")
    assert resumed.returncode == 0, resumed.stderr
    said = made.stdout + made.stderr + resumed.stdout + resumed.stderr
    assert "run/storage.url (mode 0600)" in made.stderr
    assert "hunter" not in said
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert [each.name for each in files if b"hunter" in each.read_bytes()] == ["storage.url"]
    assert (tmp_path / "run" / "storage.url").stat().st_mode & 0o777 == 0o600
    assert "study.db?secret=***&amp;uri=***" in (tmp_path / "page.html").read_text()


def test_a_study_of_another_model_or_space_is_refused(search: object) -> None:
    storage = ["--storage", "sqlite:///study.db", *QUICK, "--trials", "1"]
    quick = [*storage, "--confirm-seeds", "0"]
    assert search(TINY, *quick, "--out", "one").returncode == 0
    found = search("tests.networks:Unseen", *quick, "--num-classes", "5", "--out", "two")
    other = search("resnet18", *quick, "--out", "three")
    assert other.returncode == 2, found.stderr
    assert "model is 'resnet18', expected 'tests.networks:Tiny'" in other.stderr
    other = search(TINY, *quick, "--per-site", "--out", "four")
    assert other.returncode == 2
    assert "space.per_site is True, expected False" in other.stderr


def test_what_does_not_answer_is_said_within_seconds(search: object) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        pytest.importorskip("psycopg", reason="psycopg is not installed")
        storage = f"postgresql+psycopg://nobody:secret@{address}/nothing"
        started = time.monotonic()
        found = search(TINY, "--storage", storage, "--out", "one")
        assert found.returncode == 3, found.stderr
        assert "cannot use the storage" in found.stderr
        assert "secret" not in found.stderr
        pytest.importorskip("ray", reason="Ray is not installed")
        found = search(TINY, "--engine", "ray", "--address", address, "--out", "two")
        assert found.returncode == 3, found.stderr
        assert f"cannot connect to {address}" in found.stderr
        assert time.monotonic() - started < 60


def test_killed_in_every_phase_and_resumed(search: object, tmp_path: Path) -> None:
    """In a trunk, the trials, the race and the confirmation, by the steps that are trained then.

    Trunks are of 20 steps, as are the runs that part from them.
    """
    options = [HELD, "--trust", HELD, "--steps", "40", "--trials", "4", "--max-steps", "300"]
    options += ["--confirm-seeds", "2", "--workers", "1", "--lr", "0.1"]
    whole = search(*options, "--out", "whole", "--format", "json")
    assert whole.returncode == 0, whole.stderr
    reached = []
    for steps in (30, 70, 150, 110):
        going = ["--resume", "part", "--workers", "1", "--trust", HELD]
        start = going if (tmp_path / "part").exists() else [*options, "--out", "part"]
        held = {"HELD_AFTER": str(steps)}
        with started(tmp_path, "search", *start, quick_workers=True, **held) as command:
            command.wait_for(is_held)
            command.end(signal.SIGKILL)
        (tmp_path / "held").unlink()
        reached.append(phase(tmp_path / "part"))
    assert reached == ["trunk", "trials", "race", "confirmation"]
    found = search("--resume", "part", "--workers", "1", "--trust", HELD, "--format", "json")
    assert found.returncode == 0, found.stderr
    ours, theirs = json.loads(found.stdout), json.loads(whole.stdout)
    assert theirs["front"][-1]["confirmed"]["delta_interval"]
    assert ours == json.loads(json.dumps(theirs).replace("whole", "part"))


def phase(folder: Path) -> str:
    """The last phase that has left something in the folder of a search."""
    trunks = {path.stem for path in (folder / "trunks").glob("seed-*.safetensors")}
    if "seed-2" in trunks:
        return "confirmation"
    if "seed-10000" in trunks:
        return "race"
    return "trials" if "seed-1" in trunks else "trunk"
