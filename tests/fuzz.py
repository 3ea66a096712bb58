"""Damaged files, as many as asked for: each is read, or refused in one line as bad input.

Run as a program, with limits on memory and on the time of each case; prints what fell as JSON.
"""

import io
import json
import random
import resource
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from bamctl import Placement
from bamctl.cli import app
from bamctl.errors import NO_MEMORY, BamctlError
from bamctl.report import chart as charts
from bamctl.report.document import Column, Report, Table
from bamctl.report.formats import html
from bamctl.training import _state as state
from bamctl.training._state import DamagedStateError, State
from bamctl.training.lines import EvaluationLine
from bamctl.training.run_folder import JsonLines
from bamctl.weights import checkpoints

MEMORY_BYTES, SECONDS = 4 << 30, 10
YAML = """\
schema: 1
model: resnet18
args: {width_per_group: 64, "a": [1, 2.5, null, yes]}
input: 3x64x64
num_classes: 10
stages: all
where: [layer1, 'layer?', !!str "bottleneck"]
attention:
  variant: official
  reduction: !!int "8"
insertions:
  layer1: {dilation: 2, combine: max}
budget: {params: +2 %, macs: 1.5 G}
"""
LINES = [
    {"arm": "baseline", "seed": 0, "step": 5, "loss": 1.5, "accuracy": 0.25, "diverged": False},
    {"arm": "stages [1]", "seed": 1, "step": 9, "loss": None, "accuracy": 1, "diverged": True},
]
BITS = (b"\x00", b"\xff", b"\n", b"!!int ", b"-", b"9" * 30, b"NaN", b"[" * 99, b"{", b'"', b": ")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, taken out, repeated or put in."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(content) + 1)
        length = draw.choice((1, 1, 2, 4, 16, len(content) // 3))
        match draw.randrange(5):
            case 0:
                content[at : at + length] = draw.randbytes(length)
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = content[at : at + length]
            case 3:
                content[at:at] = draw.choice(BITS)
            case 4 if at < len(content):
                content[at] ^= 1 << draw.randrange(8)
    return bytes(content)


def mutated_zip(data: bytes, draw: random.Random) -> bytes:
    """A file of `torch.save` with one record mutated, and every checksum right."""
    if draw.random() < 0.3:
        return mutated(data, draw)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = draw.choice([*names, *[n for n in names if n.endswith("data.pkl")] * 9])
        for name in names:
            content = old.read(name)
            new.writestr(name, mutated(content, draw) if name == chosen else content)
    return out.getvalue()


def mutated_json(data: bytes, draw: random.Random) -> bytes:
    """JSON with one of its values taken out or exchanged for another."""
    root: Any = [json.loads(data)]
    holder = root
    at: Any = 0
    while isinstance(holder[at], dict | list) and holder[at] and draw.random() < 0.85:
        holder = holder[at]
        at = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    odd = [None, [], {}, "", "a", -1, 0, 1e300, float("nan"), [[]], ["a"] * 9, True]
    if draw.random() < 0.2:
        del holder[at]
    else:
        holder[at] = draw.choice(odd)
    return json.dumps(root[:1][0] if root else None).encode()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 3))


def load_weights(path: Path) -> None:
    found = checkpoints.read(path)
    checkpoints.load_state(network(), found.state)


def through_the_program(path: Path) -> None:
    """One placement by the program's entry point, whose exit code stands for the error."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = app.run(["train", "--config", str(path)])
    assert code == 2, (code, said.getvalue())
    assert said.getvalue().count("\n") == 1, said.getvalue()
    assert "a bug" not in said.getvalue(), said.getvalue()


def weights(folder: Path, kind: str) -> bytes:
    path = folder / "good"
    if kind == "safetensors":
        placement = Placement(model="resnet18", where="layer1").to_json()
        save_file(network().state_dict(), path, {"format": "pt", "bamctl_placement": placement})
    else:
        new = kind == "pth"
        torch.save(network().state_dict(), path, _use_new_zipfile_serialization=new)
    return path.read_bytes()


def training_state(folder: Path) -> bytes:
    state.write(folder / "good", State(network().state_dict(), {"step": 3, "seconds": [0.5]}))
    return (folder / "good").read_bytes()


def page(folder: Path) -> bytes:
    """What is read of a page, with a chart of each kind that is drawn from numbers."""
    axis = charts.Axis("cost", includes=(0.0,))
    points = [charts.Point(1.0, 0.5, "a", 0.4, 0.6), charts.Point(2.0, 0.7, "b")]
    stages = [charts.StageSketch("stage 1", "8", 8, 16, ["a", "b"], {"a": "+74"})]
    report = Report(
        "heading",
        [Table([Column("site"), Column("cost", "right")], [["a", "1"], ["b", "2"]]), "text"],
        {"schema": 1},
        charts=[
            charts.Plot(
                "plot", "of", axis, charts.Axis("y"), [charts.Series("s", points, "front")]
            ),
            charts.Bars("bars", "of", axis, [charts.Bar("a", 2.0, "2"), charts.Bar("b", 3.0, "3")]),
            charts.Distributions("d", "of", axis, [charts.Sample("a", [1.0, 2.0, 3.0])]),
            charts.Costs("c", "of", ["MACs"], [charts.CostRow(["a", "b"], [1.0], ["1"])]),
            charts.NetworkSketch("n", "of", stages),
        ],
    )
    html_page = html.render(report, to_file=True)
    opening = '<script type="application/json" id="bamctl-pages">'
    return html_page.rpartition(opening)[2].partition("</script>")[0].encode()


def join_page(path: Path) -> None:
    opening = b'<script type="application/json" id="bamctl-pages">'
    path.write_bytes(opening + path.read_bytes() + b"</script>")
    html.join_pages([path])


Case = tuple[str, Callable[[Path], bytes], Callable[[bytes, random.Random], bytes], Callable]

CASES: dict[str, Case] = {
    "pth": ("w.pth", lambda f: weights(f, "pth"), mutated_zip, load_weights),
    "legacy": ("w.pth", lambda f: weights(f, "legacy"), mutated, load_weights),
    "safetensors": ("w.safetensors", lambda f: weights(f, "safetensors"), mutated, load_weights),
    "yaml": ("p.yaml", lambda f: YAML.encode(), mutated, Placement.load),
    "config": ("c.yaml", lambda f: YAML.encode(), mutated, through_the_program),
    "metrics": (
        "metrics.jsonl",
        lambda f: "".join(json.dumps(line) + "\n" for line in LINES).encode(),
        mutated,
        lambda path: JsonLines(path, ("arm", "seed", "step"), EvaluationLine),
    ),
    "page": ("p.html", page, mutated_json, join_page),
    "state": ("s.safetensors", training_state, mutated, state.read),
}


class HungError(BaseException):
    """A case that takes too long."""


@contextmanager
def limited() -> Iterator[None]:
    def hung(*_: object) -> None:
        raise HungError

    signal.signal(signal.SIGALRM, hung)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def wrong(read: Callable[[Path], object], path: Path) -> str | None:
    """What is wrong with how a file is read or refused, or None."""
    try:
        with limited():
            read(path)
    except DamagedStateError:
        return None
    except BamctlError as error:
        text = str(error)
        if error.exit_code == 3 and not text.endswith(NO_MEMORY):
            return f"exit 3: {text}"
        return "several lines" if "\n" in text.strip() else None
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def fell(kind: str, count: int, seed: int) -> list[str]:
    """What fell among some mutations of a kind of file."""
    name, make, mutate, read = CASES[kind]
    draw, found = random.Random(f"{kind} {seed}"), []
    with tempfile.TemporaryDirectory() as folder:
        good = make(Path(folder))
        path = Path(folder, name)
        for number in range(count):
            path.write_bytes(mutate(good, draw))
            why = wrong(read, path)
            if why is not None:
                found.append(f"{number}: {why}")
    return found


def main() -> None:
    """Print what fell of each kind."""
    kinds, count, seed = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3])
    with open("/proc/self/statm", encoding="ascii") as memory:
        used = int(memory.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    print(json.dumps({kind: fell(kind, count, seed) for kind in kinds}))


if __name__ == "__main__":
    main()
