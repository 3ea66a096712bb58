"""The set-up of a measurement: device, precision, memory format, compilation."""

import copy
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from torch import Tensor, nn

from bamctl.errors import BamctlError, InputError, first_line
from bamctl.networks import example
from bamctl.networks.inputs import Inputs
from bamctl.networks.structures import tensors
from bamctl.surgery.fusion import fuse
from bamctl.timing.hardware import MemoryFormat
from bamctl.timing.profiles import is_measurable

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Setup:
    """The set-up of a measurement: the forward pass in eval mode, or a whole training step.

    `dtype` is that of weights and inputs, without autocast. `threads` is the number of CPU threads,
    or None for PyTorch's default. `fuse` folds batch norms first, `compile` uses `torch.compile`,
    and `cuda_graph` captures the pass once and replays it.
    """

    device: str = "cpu"
    threads: int | None = None
    dtype: Dtype = "fp32"
    memory_format: MemoryFormat = "contiguous"
    fuse: bool = False
    compile: bool = False
    cuda_graph: bool = False
    train: bool = False

    def check(self) -> torch.device:
        """Check the options and the device, and return the device.

        Raises:
            InputError: two of the options exclude each other.
            BamctlError: the device is unavailable.
        """
        if self.cuda_graph and not self.device.startswith("cuda"):
            raise InputError(f"a CUDA graph requires a CUDA device, not {self.device}")
        if self.fuse and self.train:
            raise InputError("a folded batch norm cannot be trained; drop fuse or train")
        return check_device(self.device)


def check_device(name: str) -> torch.device:
    """Return an available device by its name.

    Raises:
        InputError: the name is not that of a supported PyTorch device.
        BamctlError: the device is unavailable on this machine.
    """
    if not is_measurable(name):
        raise InputError(f"unknown device {name!r}; use cpu, cuda, cuda:1 or mps to measure")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BamctlError(
            f"device {name!r} is not available: {_first_sentence(error)}; cpu is always available"
        ) from error
    return device


def _first_sentence(error: Exception) -> str:
    # PyTorch's message continues with a list of all backends.
    return first_line(error).partition(". ")[0].rstrip(".")


def default_device() -> str:
    """Return `cuda` if it is available, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(device: torch.device) -> str:
    """Return the name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def clock_mhz(device: torch.device) -> int | None:
    """Return the clock of the device in MHz, or None if it cannot be read."""
    # Reading it requires a library or a file that may be missing.
    with suppress(Exception):
        if device.type == "cuda":
            return int(torch.cuda.clock_rate(device))
        return round(psutil.cpu_freq().current)
    return None


def versions(device: torch.device) -> dict[str, str]:
    """Return the versions of the libraries that affect the time."""
    found = {"torch": str(torch.__version__)}
    if device.type == "cuda":
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return found


def prepared(networks: Sequence[nn.Module], given: Inputs, setup: Setup) -> list[nn.Module]:
    """Return copies of networks, prepared for a set-up; the networks themselves are unchanged.

    The copies share the weights that the networks share, so that they do not differ in where these
    lie in memory.
    """
    if setup.fuse:
        networks = [fuse(network, given) for network in networks]
    parameters: dict[int, Any] = {}
    for each in (p for network in networks for p in network.parameters()):
        if id(each) not in parameters:
            moved = _moved(each.detach(), setup)
            parameters[id(each)] = nn.Parameter(moved, each.requires_grad)
    return [_copy(network, parameters, setup) for network in networks]


def _copy(network: nn.Module, parameters: dict[int, Any], setup: Setup) -> nn.Module:
    # Training modifies buffers, so they are not shared.
    buffers = {id(buffer): _moved(buffer.clone(), setup) for buffer in network.buffers()}
    return copy.deepcopy(network, {**parameters, **buffers}).train(setup.train)


def _moved(tensor: Tensor, setup: Setup) -> Tensor:
    dtype = DTYPES[setup.dtype] if tensor.is_floating_point() else None
    moved = tensor.to(device=setup.device, dtype=dtype)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if setup.memory_format == "channels_last" and moved.dim() in formats:
        return moved.contiguous(memory_format=formats[moved.dim()])
    return moved


def arguments(network: nn.Module, given: Inputs, batch_size: int, setup: Setup) -> tuple[Any, ...]:
    """Return a random batch for a prepared network, with targets for a detector in training."""
    drawn = torch.Generator().manual_seed(0)
    make = example.training_arguments if setup.train else example.arguments
    found: tuple[Any, ...] = _formatted(make(network, given, batch_size, drawn), setup)
    return found


def repeated(network: nn.Module, given: tuple[Any, ...], setup: Setup) -> Callable[[], None]:
    """Return a function that runs one pass of a prepared network over a batch."""
    run: Callable[..., Any] = torch.compile(network) if setup.compile else network
    parameters = list(network.parameters())

    def forward() -> None:
        with torch.inference_mode():
            run(*given)

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(loss(run(*given)))

    once = step if setup.train else forward
    if setup.device == "mps":
        return _synchronized(once)
    return _captured(once) if setup.cuda_graph else once


def _formatted(value: Any, setup: Setup) -> Any:
    if isinstance(value, Tensor):
        return _moved(value, setup) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_formatted(each, setup) for each in value)
    return value


def loss(result: Any) -> Tensor:
    """Return a scalar loss: the mean squares of all outputs, plus the losses of a detector.

    Raises:
        InputError: no output depends on a trainable parameter.
    """
    squares = [t.square().mean() for _, t in tensors(result) if t.requires_grad]
    scalars = [t for t in _values(result) if isinstance(t, Tensor) and not t.dim()]
    if not any(each.requires_grad for each in (*squares, *scalars)):
        raise InputError("the network cannot be trained: none of its outputs has a gradient")
    return torch.stack([*squares, *scalars]).sum()


def _values(result: Any) -> Sequence[Any]:
    return list(result.values()) if isinstance(result, dict) else []


def _synchronized(once: Callable[[], None]) -> Callable[[], None]:
    # torch.utils.benchmark synchronizes CUDA, but not MPS.
    def run() -> None:
        once()
        torch.mps.synchronize()

    return run


def _captured(once: Callable[[], None]) -> Callable[[], None]:
    """Capture a pass as a CUDA graph, as in PyTorch's notes on CUDA; return its replay."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()
    return graph.replay


@contextmanager
def at_work_on(device: torch.device) -> Iterator[None]:
    """Make a device current in this block, and restore the random state at its end."""
    is_cuda = device.type == "cuda"
    with (
        torch.random.fork_rng([device] if is_cuda else []),
        torch.cuda.device(device) if is_cuda else nullcontext(),
    ):
        yield
