"""Runs an exported network in a process that has never heard of bamctl.

Called as `python fresh_process.py FILE FOLDER PARENT`. The folder holds `arguments.pt`, with the
number of threads to use, and for a Python module `state.pt`, its weights; `outputs.pt` is written
there. The process ends when its parent does, of which the number is given.
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
    """A file of `torch.export`."""
    import torch

    return torch.export.load(file).module()(*arguments)


def run_onnx(file: Path, arguments: tuple[Any, ...], folder: Path) -> Any:
    """An ONNX file, by ONNX Runtime."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    given = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}
    return [torch.from_numpy(output) for output in session.run(None, given)]


def run_source(file: Path, arguments: tuple[Any, ...], folder: Path) -> Any:
    """A Python module with a function `build`; gives the refined maps too."""
    spec = importlib.util.spec_from_file_location("exported", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return with_refined_maps(module.build(folder / "state.pt").eval(), arguments)


def with_refined_maps(model: "torch.nn.Module", arguments: tuple[Any, ...]) -> list[Any]:
    """Return what a network returns, and what each attention module made of its map.

    A detector may see nothing, and a head may start at zero; the maps tell all the same.
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
    """The tensors in whatever structure a network returns."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from flat(item)


def _end_with(parent: int) -> None:
    """As `bamctl.processes.pool.end_with`, which is out of reach here."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def main() -> None:
    """Run the file on the arguments, and write down what it returns."""
    file, folder = map(Path, sys.argv[1:3])
    # Before the import of torch, which takes long.
    threading.Thread(target=_end_with, args=(int(sys.argv[3]),), daemon=True).start()
    # Neither our package nor the folder of this script is to help; the current folder may hold the
    # module of a factory, but nothing that stands in for a library's.
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
