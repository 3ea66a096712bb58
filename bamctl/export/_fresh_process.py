"""A script that runs an exported network in a process that cannot import bamctl.

Called as `python fresh_process.py FILE FOLDER PARENT`. The folder holds `arguments.pt`, with the
inputs and the number of threads, and for a Python module `state.pt`, its weights; `outputs.pt` is
written there. The process exits when its parent, whose process id is PARENT, does.
"""

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def run_program(file: Path, arguments: tuple[Any, ...], folder: Path) -> Any:
    """Run a file of `torch.export`."""
    import torch

    return torch.export.load(file).module()(*arguments)


def run_onnx(file: Path, arguments: tuple[Any, ...], folder: Path) -> Any:
    """Run an ONNX file by ONNX Runtime, on the CPU."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    given = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}
    return [torch.from_numpy(output) for output in session.run(None, given)]


def run_source(file: Path, arguments: tuple[Any, ...], folder: Path) -> Any:
    """Run a Python module with a function `build`; return the refined maps too."""
    spec = importlib.util.spec_from_file_location("exported", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return with_refined_maps(module.build(folder / "state.pt").eval(), arguments)


def with_refined_maps(model: "torch.nn.Module", arguments: tuple[Any, ...]) -> list[Any]:
    """Return the outputs of a network and of each attention module.

    A detector may detect nothing, and a head may start at zero; the maps differ all the same.
    """
    refined: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda *called: refined.append(called[-1]))
        for module in model.get_submodule("inserted").children()
    ]
    try:
        return [model(*arguments), refined]
    finally:
        for hook in hooks:
            hook.remove()


RUNNERS = {".pt2": run_program, ".onnx": run_onnx, ".py": run_source}


def flat(value: Any) -> "Iterator[torch.Tensor]":
    """Yield the tensors in a nested structure of dicts, lists and tuples."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from flat(item)


def _end_with(parent: int) -> None:
    """Exit when the parent does, as `bamctl.processes.pool.end_with`, which cannot be imported."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def main() -> None:
    """Run the file on the arguments, and save its outputs."""
    file, folder = map(Path, sys.argv[1:3])
    # Before the import of torch, which is slow.
    threading.Thread(target=_end_with, args=(int(sys.argv[3]),), daemon=True).start()
    # Nothing is to be imported from bamctl or this script's folder. The current folder, which may
    # hold the module of a factory, goes last, so that nothing in it shadows a library.
    sys.modules["bamctl"] = None  # type: ignore[assignment]
    own = str(Path(__file__).parent)
    sys.path[:] = [*(folder for folder in sys.path if folder != own), os.getcwd()]
    import torch

    torch.manual_seed(0)
    given = torch.load(folder / "arguments.pt", weights_only=True)
    torch.set_num_threads(given["threads"])
    with torch.no_grad():
        outputs = list(flat(RUNNERS[file.suffix](file, given["arguments"], folder)))
    torch.save(outputs, folder / "outputs.pt")


if __name__ == "__main__":
    main()
