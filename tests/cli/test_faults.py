"""Bad input and a machine at fault, through the program's entry point: one line, the right code."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bamctl.cli.app import run
from bamctl.training import curves
from bamctl.training.measure import Measure
from tests import console
from tests.conftest import REPOSITORY, SCRIPT

TINY = ["tests.networks:Tiny", "--input", "3x32x32"]
FACTORIES = '''
import warnings
import torch

class Stop(BaseException):
    """No Exception."""

def stops():
    raise Stop("no more of this")

def finishes():
    raise GeneratorExit

def leaves():
    raise SystemExit("by the back door")

def warns_and_fails():
    warnings.warn("first line\\nsecond line")
    raise ValueError("the reason\\nand more")

def warns():
    from tests.networks import Tiny

    warnings.warn("first line\\nsecond line")
    return Tiny()

def asks_for_memory():
    return torch.empty(10**15)

async def waits():
    return Unmade()

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def says_nothing():
    raise Mute

class Unmade(torch.nn.Module):
    def __init__(self):
        pass

class Endless(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Conv2d(3, 4, 3))
        self[0].parent = self

class Stuck(torch.nn.Module):
    def forward(self, x):
        return x

    def train(self, mode=True):
        raise RuntimeError("no mode but one")

class Greedy(torch.nn.Module):
    def forward(self, x):
        return bytearray(1 << 60)
'''


@pytest.fixture
def fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in an empty folder, and gives the one line of its error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "odd_factories.py").write_text(FACTORIES)
    monkeypatch.delitem(sys.modules, "odd_factories", raising=False)

    def said(*arguments: str, code: int = 2) -> str:
        assert run(arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("bamctl: error: ")
        assert err.count("\n") == 1
        assert "a bug" not in err
        return err

    return said


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond some bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".pt2", ".py"])
def test_a_disk_that_is_full(ending: str, fails: Callable[..., str], tmp_path: Path) -> None:
    # Larger than a placement, smaller than the network in any other format.
    outs = ["--out", "kept.yaml", "--out", f"lost{ending}"]
    (tmp_path / f"lost{ending}").write_text("before")
    with full_disk(2_000):
        said = fails("insert", *TINY, *outs, code=3)
    assert f"cannot write lost{ending}: File too large" in said
    assert "kept: kept.yaml" in said
    assert (tmp_path / "kept.yaml").read_text().startswith("schema: 1")
    assert (tmp_path / f"lost{ending}").read_text() == "before"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_page_on_a_full_disk(fails: Callable[..., str], tmp_path: Path) -> None:
    with full_disk(10_000):
        said = fails("analyze", *TINY, "--format", "html", "--output", "page.html", code=3)
    assert "cannot write page.html: File too large" in said
    assert not (tmp_path / "page.html").exists()


def test_curves_on_a_full_disk(
    fails: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--steps", "2", "--seeds", "2", "--batch-size", "32", "--data", "digits"]
    quick += ["--dilation", "1"]
    assert run(["train", "tests.networks:Tiny", *quick, "--out", "run"]) == 0
    capsys.readouterr()
    for name in ("report.html", "curves.png", "curves.svg"):
        (tmp_path / "run" / name).unlink()
    # The runs are there, and for their report there is no room.
    with full_disk(10_000):
        said = fails("train", "--resume", "run", code=3)
    assert "File too large; the runs are kept; `bamctl train --resume run`" in said
    assert len(list((tmp_path / "run" / "weights").iterdir())) == 4
    assert run(["train", "--resume", "run"]) == 0
    assert (tmp_path / "run" / "report.html").is_file()


def test_pictures_on_a_full_disk_are_the_machines_fault(tmp_path: Path) -> None:
    lines = [{"arm": "a", "seed": 0, "step": step, "accuracy": 0.5} for step in (1, 2)]
    with full_disk(1_000), pytest.raises(Exception, match="File too large") as error:
        curves.draw(lines, {"a": {1: 0.5, 2: 0.5}}, Measure("accuracy", "accuracy"), tmp_path)
    assert error.value.exit_code == 3


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("stops", "Stop: no more of this"),
        ("leaves", "SystemExit: by the back door"),
        ("waits", "returned a coroutine, not an nn.Module"),
        ("says_nothing", "says_nothing() failed: Mute"),
        ("Unmade", "Unmade does not call super().__init__()"),
        ("Endless", "or one of its modules contains itself"),
        ("Stuck", "failed at odd_factories.py:54: RuntimeError: no mode but one"),
        ("finishes", "ended the program by GeneratorExit\n"),
        ("warns_and_fails", "ValueError: the reason"),
    ],
)
def test_factories_that_fail_in_their_own_ways(
    factory: str, words: str, fails: Callable[..., str]
) -> None:
    assert words in fails("analyze", f"odd_factories:{factory}")


def test_a_factory_that_closes_its_standard_output(tmp_path: Path) -> None:
    code = "import sys\nfrom tests.networks import Tiny\ndef closes():\n"
    (tmp_path / "closing.py").write_text(code + "    sys.stdout.close()\n    return Tiny()\n")
    arguments = ["analyze", "closing:closes", "--input", "3x32x32", "--format", "json"]
    found = console.run(arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert found.returncode == 0
    assert json.loads(found.stdout)["model"] == "closing:closes"


def test_warnings_of_others_come_after_the_result(
    fails: object, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--input", "3x32x32", "--format", "json"]
    assert run(["analyze", "odd_factories:warns", *arguments]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["model"] == "odd_factories:warns"
    assert "bamctl: warning: first line second line\n" in err


@pytest.mark.parametrize("factory", ["asks_for_memory", "Greedy"])
def test_too_little_memory_is_the_machines_fault(factory: str, fails: Callable[..., str]) -> None:
    assert "not enough memory" in fails("analyze", f"odd_factories:{factory}", code=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["insert", *TINY, "--weights", "PIPE.pth"],
            "PIPE.pth: cannot be read: it is not a regular",
        ),
        (["insert", *TINY, "--weights", "PIPE.safetensors"], "PIPE.safetensors: cannot be read"),
        (["insert", *TINY, "--placement", "PIPE.yaml"], "PIPE.yaml: cannot be read"),
        (["attend", *TINY, "PIPE.png"], "PIPE.png: cannot be read"),
        (["report", "PIPE.html"], "PIPE.html: cannot be read"),
        (["check", "PIPE.yml"], "PIPE.yml: cannot be read"),
    ],
)
def test_a_pipe_is_not_waited_for(
    arguments: list[str], words: str, fails: Callable[..., str]
) -> None:
    for word in arguments:
        if word.startswith("PIPE"):
            os.mkfifo(word)
    assert words in fails(*arguments)


LONG = "n" * 256


@pytest.mark.parametrize(
    "arguments",
    [
        ["insert", *TINY, "--weights", f"{LONG}.pth"],
        ["insert", *TINY, "--placement", f"{LONG}.yaml"],
        ["insert", *TINY, "--out", f"{LONG}.yaml"],
        ["analyze", *TINY, "--output", f"{LONG}.json"],
        ["attend", *TINY, f"{LONG}.png"],
        ["report", f"{LONG}.html"],
        ["check", f"{LONG}.yaml"],
        ["train", *TINY, "--out", LONG, "--steps", "1", "--seeds", "2", "--batch-size", "32"],
        ["train", "--resume", LONG],
        ["train", "--config", LONG],
    ],
    ids=" ".join,
)
def test_a_name_that_is_too_long(arguments: list[str], fails: Callable[..., str]) -> None:
    assert "File name too long" in fails(*arguments)


def test_arguments_that_have_an_option(fails: Callable[..., str]) -> None:
    assert "use --weights" in fails("analyze", "resnet18", "--arg", "weights=")


def test_an_empty_integer(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text('schema: 1\nnum_classes: !!int ""\n')
    assert "p.yaml:2: '' cannot be read as a value" in fails("insert", "--placement", "p.yaml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["insert", *TINY, "--out", ""], "--out is empty"),
        (["insert", *TINY, "--out="], "--out is empty"),
        (["search", "tests.networks:Tiny", "--candidates", ""], "--candidates is empty"),
        (["search", "tests.networks:Tiny", "--candidates", " "], "candidates: should be"),
        (["analyze", ""], "an argument is empty"),
        (["analyze", *TINY, "--stages", "9" * 5_000], "stages: should be 'all' or a whole"),
        (["analyze", *TINY, "--input", "9" * 5_000], "999… is not channels"),
        (["latency", *TINY, "--device", "tpu"], "unknown device 'tpu'"),
        (["calibrate", "--device", "tpu"], "unknown device 'tpu'"),
        (["analyze", "--all", "--sensitivity"], "--sensitivity cannot be combined with --all"),
        (["analyze", "--all", "--where", "block"], "--where requires --sensitivity"),
        (["analyze", "--all", "--device", "cpu"], "--device requires --latency"),
        (["analyze", "n" * 70_000], "unknown model 'nnn"),
        (["train", "tests.networks:Tiny", "--lr", "1e300"], "lr: should be less than 1000000"),
    ],
)
def test_values_that_are_empty_or_too_large(
    arguments: list[str], words: str, fails: Callable[..., str]
) -> None:
    said = fails(*arguments)
    assert words in said
    assert len(said) < 500


@pytest.mark.parametrize(
    ("command", "key", "words"),
    [
        ("train", "training: {}", "is for a search; pass its folder to `bamctl search`"),
        ("search", "recipe: {}", "is for a training; pass its folder to `bamctl train`"),
    ],
)
def test_the_folder_of_another_command(
    command: str, key: str, words: str, fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(f"schema: 1\n{key}\n")
    assert words in fails(command, "--resume", "run")


def test_a_long_value_in_a_file_is_shown_by_its_start(
    fails: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(f"schema: 1\nnum_classes: {'9' * 5_000}\n")
    said = fails("insert", "--placement", "p.yaml")
    assert "p.yaml:2: '999" in said
    assert len(said) < 200


def test_a_long_word_takes_no_long_time(fails: Callable[..., str], tmp_path: Path) -> None:
    # Whatever is quadratic in its length takes minutes.
    (tmp_path / "p.yaml").write_text(f"schema: 1\nwhere: {'n' * 70_000}\n")
    assert "no module 'nnn" in fails("insert", *TINY, "--placement", "p.yaml")
    assert "secret" not in fails("analyze", f"mysql://me:secret{'n' * 70_000}@host/db")


def test_a_port_that_is_no_number(fails: Callable[..., str]) -> None:
    url = "postgresql://u:secret@localhost:here/study"
    options = ["--data", "digits", "--steps", "1", "--trials", "1", "--storage", url]
    said = fails("search", "tests.networks:Tiny", *options)
    assert "is not a database" in said
    assert "secret" not in said


PAGE = '<script type="application/json" id="bamctl-pages">{}</script>'


@pytest.mark.parametrize("text", ["[]", "[[]]", "[{}]", "[" * 5_000, '"\\udcff"'])
def test_pages_that_hold_no_report(text: str, fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE.format(text))
    assert "page.html: the report is damaged" in fails("report", "page.html")


def test_a_report_whose_parts_do_not_fit(fails: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run(["models", "resnet18", "--format", "html", "--output", str(page)]) == 0
    opening, closing = PAGE.split("{}")
    before, _, rest = page.read_text(encoding="utf-8").rpartition(opening)
    data, _, after = rest.partition(closing)
    found = json.loads(data)
    found[0]["report"]["blocks"] = [{"columns": [], "rows": [["a"]]}]
    page.write_text(before + opening + json.dumps(found) + closing + after, encoding="utf-8")
    assert "damaged" in fails("report", "page.html", "--output", "all.html")


def test_a_page_whose_name_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = os.fsdecode(b"p\xff.html")
    arguments = ["models", "resnet18", "--format", "html", "--output", page]
    monkeypatch.setattr(sys, "argv", ["bamctl", *arguments])
    assert run(arguments) == 0
    assert run(["report", page, "--output", "all.html"]) == 0
    assert "p\\\\udcff.html" in (tmp_path / "all.html").read_text(encoding="utf-8")
    assert "1 report is in all.html" in capsys.readouterr().err


def test_metrics_with_damaged_lines(
    fails: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "1", "--seeds", "2", "--batch-size", "32", "--out", "run"]
    assert run(["train", "tests.networks:Tiny", "--data", "digits", *options]) == 0
    capsys.readouterr()
    metrics = tmp_path / "run" / "metrics.jsonl"
    first, *others = metrics.read_text().splitlines()
    good = json.loads(first)
    damaged = [
        {key: value for key, value in good.items() if key != "accuracy"},
        {key: value for key, value in good.items() if key != "diverged"},
        {**good, "accuracy": float("nan")},
        {**good, "accuracy": "0.5"},
        {**good, "loss": float("inf")},
    ]
    for line in damaged:
        metrics.write_text("\n".join([json.dumps(line), *others]) + "\n")
        assert "metrics.jsonl:1: not a valid record" in fails("train", "--resume", "run")


@pytest.mark.parametrize("megabytes", [300])
def test_too_little_memory_for_pytorch(megabytes: int) -> None:
    limits = (megabytes << 20, megabytes << 20)
    found = subprocess.run(
        [str(SCRIPT), "analyze", "resnet18", "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limits),
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr == "bamctl: error: not enough memory\n"


def test_a_cache_on_a_full_disk_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with full_disk(100):
        assert run(["analyze", "squeezenet1_1", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "squeezenet1_1"
    assert not list(tmp_path.rglob("*.json"))
