"""No command traces a network twice, nor a module twice on maps of one shape."""

import json

import pytest

# Runs a command in a process, and writes down what is traced.
COUNTING = """
import json, os, sys
from bamctl.tracing import trace as tracing
plain, traced = tracing._analyze, []

def counted(model, arguments):
    traced.append([type(model).__name__, [list(each.shape) for each in arguments]])
    return plain(model, arguments)

tracing._analyze = counted
from bamctl.cli.app import run
code = run(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps(traced))
os._exit(code)
"""

NETWORK = ("--input", "3x64x64")
# Each with the modules on maps of different shapes that it has to price by a trace.
COMMANDS = {
    "analyze": (("analyze", "resnet18", *NETWORK, "--no-cache"), 0),
    "insert": (("insert", "resnet18", "--where", "block", *NETWORK), 0),
    # Blocks of four shapes, and the end of the stem.
    "estimate": (("analyze", "resnet18", *NETWORK, "--latency", "--device", "rtx4090"), 5),
    "check": (("check", "one.yaml", "two.yaml"), 0),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_network_once(forked: object, tmp_path: object, name: str) -> None:
    for file, where in (("one", "bottleneck"), ("two", "block")):
        text = f"model: resnet18\ninput: 3x64x64\nwhere: {where}\nbudget:\n  params: +9 %\n"
        (tmp_path / f"{file}.yaml").write_text(text)
    command, num_modules = COMMANDS[name]
    found = forked(COUNTING, "traced.json", *command)
    assert found.returncode == 0, found.stderr
    traced = json.loads((tmp_path / "traced.json").read_text())
    assert len(traced) == 1 + num_modules
    assert [model for model, _ in traced].count("ResNet") == 1
    assert len({json.dumps(each) for each in traced}) == len(traced)
