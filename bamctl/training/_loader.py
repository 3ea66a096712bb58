"""The order in which images are seen: a function of seed and step alone.

So all arms see the same images, augmented alike, however many processes share the work, and a run
goes on where it stopped without replaying what it has seen.
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

    An epoch is a new permutation; what does not fill its last batch is left for the next one.
    """

    num_images: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.num_images // self.batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The indices and the random numbers of a step, counted from 0."""
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
    """The batches of some steps, each in as many parts as this process runs one after the other.

    Args:
        images: what to train on.
        order: which images each step takes.
        steps: the steps, counted from 0.
        parts: how many parts a batch is cut into, over all processes.
        share: which of them are this process's.
        workers: processes that read ahead.
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
    """All images in their order, as they are; each process takes its share of the batches."""
    every = torch.split(torch.arange(len(images.labels)), batch_size)
    yield from _loader(images, iter([(each, None) for each in every[rank::processes]]), workers)


def _loader(images: Images, parts: Iterator[_Part], workers: int) -> DataLoader[Batch]:
    return DataLoader(
        _Batches(images),
        sampler=_Parts(parts),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=partial(_begin, os.getpid()),
        multiprocessing_context=_context() if workers else None,
        # Its own, since it would draw from the generator that dropout draws from.
        generator=torch.Generator(),
    )


def _begin(parent: int, worker: int) -> None:
    """In a process that reads ahead: end when the one that trains does."""
    end_with(parent)


def _context() -> SpawnContext | None:
    """A copy of this process, where Python makes one; a new one takes nothing from its folder."""
    return None if get_start_method() == "fork" else spawn_context()


class _Parts:
    """An iterator as a sampler."""

    def __init__(self, parts: Iterator[_Part]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[_Part]:
        return self._parts


class _Batches(Dataset[Batch]):
    """A data set of whole batches, so that images in memory are taken all at once."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __getitem__(self, part: _Part) -> Batch:
        return self._images.batch(*part)
