"""Networks as files of `torch.export` and ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.torch_version import TorchVersion

from bamctl.errors import BamctlError, InputError, check_machine, first_line, let_through
from bamctl.networks import example
from bamctl.networks.inputs import Inputs

# The maximum size of a protocol buffer, the format of ONNX files.
_MAX_ONNX_BYTES = 2_000_000_000
# With older versions, onnxscript cannot convert the exporter's graphs, and a `.pt2` file of a
# network that creates tensors in its forward pass, such as swin_t, does not run.
OLDEST_TORCH = "2.7"


def is_too_old() -> bool:
    """Return whether the installed torch is older than `OLDEST_TORCH`."""
    return TorchVersion(torch.__version__) < OLDEST_TORCH


def export(model: nn.Module, inputs: Inputs) -> ExportedProgram:
    """Export a network in eval mode, with a dynamic batch size if possible.

    Raises:
        BamctlError: `torch.export` fails on the network.
    """
    with _quiet():
        if not example.is_detector(model):
            program = _for_any_batch(model, inputs)
            if program is not None:
                return program
        try:
            return torch.export.export(model.eval(), example.arguments(model, inputs))
        except Exception as error:
            let_through(error)
            raise BamctlError(
                f"torch.export cannot take {type(model).__name__}: {first_line(error)}; "
                "--out x.py and x.safetensors can"
            ) from error


def _for_any_batch(model: nn.Module, inputs: Inputs) -> ExportedProgram | None:
    # torch.export specializes dimensions of size 1.
    arguments = example.arguments(model, inputs, batch_size=2)
    batch = tuple({0: Dim.AUTO} for _ in arguments)
    try:
        program = torch.export.export(model.eval(), arguments, dynamic_shapes=batch)
    except Exception as error:
        let_through(error)
        return None
    return program if takes_any_batch(program) else None


def takes_any_batch(program: ExportedProgram) -> bool:
    """Return whether the first axis of every input is dynamic."""
    names = program.graph_signature.user_inputs
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names
    ]
    return bool(shapes) and all(isinstance(shape[0], torch.SymInt) for shape in shapes)


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a `.pt2` file."""
    # In memory first: PyTorch's file writer aborts the process if the disk is full.
    content = io.BytesIO()
    with _quiet():
        torch.export.save(program, content)
    path.write_bytes(content.getbuffer())


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write an `.onnx` file that includes its weights.

    Raises:
        InputError: the extra `onnx` is missing, torch is too old, or the network too large.
        BamctlError: ONNX lacks an operator of the network.
    """
    if is_too_old():
        raise InputError(
            f"ONNX needs torch {OLDEST_TORCH} or newer, and this is {torch.__version__}; use .py"
        )
    size = sum(tensor.numel() * tensor.itemsize for tensor in program.state_dict.values())
    if size > _MAX_ONNX_BYTES:
        raise InputError(f"{size:,} bytes of weights are too many for one ONNX file; use .pt2")
    try:
        import onnxscript  # noqa: F401 - what the exporter needs
    except ImportError as error:
        raise InputError(f"ONNX needs an extra: pip install 'bamctl[onnx]' ({error})") from error
    try:
        with _quiet():
            made = torch.onnx.export(program, dynamo=True, verbose=False)
            assert made is not None
            made.save(str(path), external_data=False)
    except Exception as error:
        let_through(error)
        check_machine(error, "cannot write ONNX")
        raise BamctlError(f"cannot be written as ONNX: {first_line(error)}; use .pt2") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' logs, warnings and progress; their errors still propagate."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
