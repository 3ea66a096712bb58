"""Export to files that run without bamctl, each verified in a process that cannot import it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from bamctl.errors import BamctlError, InputError
from bamctl.export import _fresh_process as fresh_process
from bamctl.export._program import (
    OLDEST_TORCH,
    export,
    is_too_old,
    takes_any_batch,
    write_onnx,
    write_program,
)
from bamctl.export._source import source
from bamctl.files.atomic import atomic_path
from bamctl.networks import example
from bamctl.networks.structures import tensors
from bamctl.surgery.insertion import Insertion
from bamctl.weights import checkpoints

# The largest accepted difference of the outputs, relative to their norm, by file format.
TOLERANCES = {".pt2": 1e-5, ".onnx": 1e-5, ".py": 0.0}


@dataclass(frozen=True)
class Exported:
    """An exported file, and its verification in a fresh process.

    `output_change` is the norm of the difference from the outputs of the network in memory,
    relative to their norm: exactly 0 if they are bitwise equal, None if all are zero, as those of
    a head that starts at zero. For a Python module the refined maps count as outputs, too.
    `any_batch` is whether the file accepts batches of any size.
    """

    path: Path
    output_change: float | None
    any_batch: bool


class Exporter:
    """Export of one network to several files, for which its graph is made once.

    Args:
        model: the network of the insertion; it must not change between files.
        insertion: the insertion that the network results from.
    """

    def __init__(self, model: nn.Module, insertion: Insertion) -> None:
        self.model = model
        self.insertion = insertion

    @cached_property
    def program(self) -> ExportedProgram:
        """The network as a graph of `torch.export`."""
        return export(self.model, self.insertion.trace.given)

    def write(self, path: Path) -> Exported:
        """Export the network as `.pt2`, `.onnx` or `.py`, and verify the file.

        Args:
            path: the file; its suffix selects the format.

        Raises:
            InputError: nothing is inserted, the file cannot be written, or the exporter is not
                installed.
            BamctlError: the export fails, or the file gives other outputs; no file is left then.
        """
        return _write(path, self)


def write(path: Path, model: nn.Module, insertion: Insertion) -> Exported:
    """Export a network with its attention modules as `.pt2`, `.onnx` or `.py`, and verify the file.

    Args:
        path: the file; its suffix selects the format.
        model: the network of the insertion.
        insertion: the insertion that the network results from.

    Raises:
        InputError: nothing is inserted, the file cannot be written, or the exporter is not
            installed.
        BamctlError: the export fails, or the file gives other outputs; no file is left behind then.
    """
    return Exporter(model, insertion).write(path)


def _write(path: Path, exporter: Exporter) -> Exported:
    model, insertion = exporter.model, exporter.insertion
    if not insertion.placed.sites:
        raise InputError(f"nothing is inserted; {path} would be the unmodified network")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with tempfile.TemporaryDirectory() as name, atomic_path(path) as temporary:
            # The suffix selects how the fresh process runs the file.
            draft = Path(name) / f"network{path.suffix}"
            any_batch = WRITERS[path.suffix](draft, exporter)
            change = _prove(draft, model, insertion, 3 if any_batch else 1)
            temporary.write_bytes(draft.read_bytes())
    finally:
        for module, mode in modes.items():
            module.training = mode
    return Exported(path, change, any_batch)


def _graph_writer(write_graph: Callable[[ExportedProgram, Path], None]) -> "Writer":
    def write(path: Path, exporter: Exporter) -> bool:
        write_graph(exporter.program, path)
        return takes_any_batch(exporter.program)

    return write


def _write_source(path: Path, exporter: Exporter) -> bool:
    model, insertion = exporter.model, exporter.insertion
    path.write_text(source(model, insertion.placement, insertion.placed.sites), encoding="utf-8")
    return True


# Writes a file, and returns whether it accepts batches of any size.
Writer = Callable[[Path, Exporter], bool]

WRITERS: dict[str, Writer] = {
    ".pt2": _graph_writer(write_program),
    ".onnx": _graph_writer(write_onnx),
    ".py": _write_source,
}


def _prove(file: Path, model: nn.Module, insertion: Insertion, batch_size: int) -> float | None:
    """Run a file in a fresh process, and return the relative change of its outputs.

    Raises:
        BamctlError: it does not run, or the change exceeds the tolerance.
    """
    drawn = torch.Generator().manual_seed(0)
    arguments = example.arguments(model, insertion.trace.given, batch_size, drawn)
    folder = file.parent
    # The number of threads affects the last bits of the outputs.
    threads = torch.get_num_threads()
    checkpoints.save({"arguments": arguments, "threads": threads}, folder / "arguments.pt")
    is_source = file.suffix == ".py"
    if is_source:
        checkpoints.save(model.state_dict(), folder / "state.pt")
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.manual_seed(0)
        run = fresh_process.with_refined_maps if is_source else _run
        expected = [tensor for _, tensor in tensors(run(model, arguments))]
    done = subprocess.run(
        [sys.executable, fresh_process.__file__, str(file), str(folder), str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no details"])[-1]
        newer = f"; try torch {OLDEST_TORCH} or newer" if is_too_old() else ""
        raise BamctlError(f"the {file.suffix} file does not run in a fresh process: {last}{newer}")
    outputs = torch.load(folder / "outputs.pt", weights_only=True)
    found = [each for each in outputs if each.is_floating_point() and each.dim()]
    return _checked_change(file.suffix, expected, found)


def _run(model: nn.Module, arguments: tuple[Any, ...]) -> Any:
    return model(*arguments)


def _checked_change(kind: str, expected: list[Tensor], found: list[Tensor]) -> float | None:
    if [t.shape for t in expected] != [t.shape for t in found]:
        raise BamctlError(f"the output shapes of the {kind} file do not match the network")
    change = max(map(_change, expected, found), default=0.0)
    if not change <= TOLERANCES[kind]:
        raise BamctlError(
            f"the outputs of the {kind} file differ by {change:.2g} (relative norm), more than "
            f"{TOLERANCES[kind]:g}"
        )
    return change if any(bool(tensor.any()) for tensor in expected) else None


def _change(expected: Tensor, found: Tensor) -> float:
    if torch.equal(expected, found):
        return 0.0
    difference = (found.double() - expected.double()).norm()
    return float(difference / expected.double().norm().clamp(min=torch.finfo(torch.float32).tiny))
