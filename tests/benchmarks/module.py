"""BAM against its textbook form: time of a training step and of inference, and memory kept."""

from collections.abc import Callable, Iterator
from statistics import geometric_mean

import torch
from torch import Tensor, nn

from bamctl import BAM
from tests.benchmarks.ratios import Ratio, in_turn
from tests.benchmarks.textbook import Textbook

IMAGES = 16
# Channels and side of the maps behind the bottlenecks of ResNet18 and ResNet50.
SHAPES = ((64, 56), (256, 56), (512, 28), (1024, 14))
KINDS: dict[str, Callable[[Tensor | nn.Module], Tensor | nn.Module]] = {
    "": lambda it: it,
    ", bf16": lambda it: it.to(torch.bfloat16),
    ", channels_last": lambda it: it.to(memory_format=torch.channels_last),
}


def measure(runs: int) -> Iterator[Ratio]:
    """The times of every shape, precision and memory format, and the memory of every shape."""
    torch.set_num_threads(2)
    for label, cast in KINDS.items():
        for what, seconds in (("training step", _training_step), ("inference", _inference)):
            found = [seconds(shape, cast, f"BAM {what}{label}", runs) for shape in SHAPES]
            yield from found
            yield _mean(f"BAM {what}{label}: geometric mean", found, None if label else 0.75)
    yield from map(_kept, SHAPES)


def _training_step(
    shape: tuple[int, int], cast: Callable[..., Tensor], name: str, runs: int
) -> Ratio:
    modules, x = _modules(shape, cast)
    upstream = torch.randn_like(x)
    steps = [lambda m=m: m(x.detach().requires_grad_()).backward(upstream) for m in modules]
    return in_turn(f"{name} {_text(shape)} / textbook", *steps, runs, 1.0)


def _inference(shape: tuple[int, int], cast: Callable[..., Tensor], name: str, runs: int) -> Ratio:
    modules, x = _modules(shape, cast)
    with torch.no_grad():
        passes = [lambda m=m: m.eval()(x) for m in modules]
        return in_turn(f"{name} {_text(shape)} / textbook", *passes, runs, 1.0)


def _modules(shape: tuple[int, int], cast: Callable[..., Tensor]) -> tuple[list[nn.Module], Tensor]:
    channels, side = shape
    bam, textbook = BAM(channels), Textbook(channels)
    textbook.load_state_dict(bam.state_dict())
    x = torch.randn(IMAGES, channels, side, side)
    return [cast(bam), cast(textbook)], cast(x)


def _mean(name: str, found: list[Ratio], limit: float | None) -> Ratio:
    """Run by run, the geometric mean over the shapes."""
    ours = map(geometric_mean, zip(*(each.ours for each in found), strict=True))
    theirs = map(geometric_mean, zip(*(each.theirs for each in found), strict=True))
    return Ratio(name, "s", list(ours), list(theirs), limit)


def _kept(shape: tuple[int, int]) -> Ratio:
    given = IMAGES * shape[0] * shape[1] ** 2 * 4 / 1e6
    name = f"BAM kept for backward {_text(shape)} / its input"
    return Ratio(name, "MB", [kept_share(shape, IMAGES) * given], [given], 0.20)


def kept_share(shape: tuple[int, int], num_images: int) -> float:
    """What is kept for the backward pass beside the input and the result, in parts of the input."""
    channels, side = shape
    bam, x = BAM(channels), torch.randn(num_images, channels, side, side, requires_grad=True)
    given = {t.untyped_storage().data_ptr() for t in (x, *bam.parameters(), *bam.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        bam(x)
    return (
        sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in given) / x.nbytes
    )


def _text(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
