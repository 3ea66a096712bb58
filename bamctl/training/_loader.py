"""Data order: a function of seed and step alone.

So all arms see the same images with the same augmentation, however many processes share the work,
and a run resumes without replaying earlier batches.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from multiprocessing import get_start_method
from multiprocessing.context import SpawnContext

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bamctl.data.images import Batch, Images
from bamctl.processes.children import spawn_context
from bamctl.processes.pool import end_with
from bamctl.training.arms import seed_for

_Part = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Order:
    """The images of each step, and the random numbers that augment them.

    An epoch is a new permutation, whose incomplete last batch is dropped.
    """

    num_images: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in an epoch."""
        return self.num_images // self.batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return indices and random numbers of a step (counted from 0), each with shape (N,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        indices, draws = _epoch(self.num_images, self.seed, epoch)
        chosen = slice(position * self.batch_size, (position + 1) * self.batch_size)
        return indices[chosen], draws[chosen]


@lru_cache(maxsize=2)
def _epoch(num_images: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
    indices = torch.randperm(num_images, generator=drawn)
    return indices, torch.randint(2**62, (num_images,), generator=drawn)


def training_batches(
    images: Images, order: Order, steps: range, *, parts: int, share: range, workers: int
) -> Iterator[list[Batch]]:
    """Yield the batch of each step, in the parts that this process runs one after the other.

    Args:
        images: the training split.
        order: the images of each step.
        steps: the steps, counted from 0.
        parts: number of parts of a batch, over all processes.
        share: the parts of this process.
        workers: number of processes that prefetch batches.
    """

    def mine() -> Iterator[_Part]:
        for step in steps:
            cut = [each.tensor_split(parts) for each in order.batch(step)]
            yield from ((cut[0][part], cut[1][part]) for part in share)

    loaded = iter(_loader(images, mine(), workers))
    while batch := list(islice(loaded, len(share))):
        yield batch


def evaluation_batches(
    images: Images, batch_size: int, *, rank: int, processes: int, workers: int
) -> Iterator[Batch]:
    """Yield this process's share of batches of all images, in order and without augmentation."""
    every = torch.split(torch.arange(len(images)), batch_size)
    yield from _loader(images, iter([(each, None) for each in every[rank::processes]]), workers)


def _loader(images: Images, parts: Iterator[_Part], workers: int) -> DataLoader[Batch]:
    return DataLoader(
        _Batches(images),
        sampler=_Parts(parts),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=partial(_begin, os.getpid()),
        multiprocessing_context=_context() if workers else None,
        # A separate generator, or the loader would draw from the one that dropout uses.
        generator=torch.Generator(),
    )


def _begin(parent: int, worker: int) -> None:
    """Initialize a worker process: exit when the training process does."""
    end_with(parent)


def _context() -> SpawnContext | None:
    """Return None for the default `fork`, else a spawn context with a safe path."""
    return None if get_start_method() == "fork" else spawn_context()


class _Parts:
    """A sampler that wraps an iterator."""

    def __init__(self, parts: Iterator[_Part]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[_Part]:
        return self._parts


class _Batches(Dataset[Batch]):
    """A data set of whole batches, so that images in memory are indexed at once."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __getitem__(self, part: _Part) -> Batch:
        return self._images.batch(*part)
