"""The batches of a run, on its device, without unreadable images."""

from collections.abc import Iterator

from accelerate import Accelerator
from torch import Tensor

from bamctl.data.images import Batch, Images, cannot_read
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training._loader import Order, evaluation_batches, training_batches
from bamctl.training.config import TrainingConfig
from bamctl.training.watching import Watcher

_EVALUATION_BATCH = 256


class Reader:
    """Reader of the images of a run; of several processes, each reads its share.

    Args:
        data: training, held-out and test images.
        config: the recipe, and the options of reading images.
        seed: the seed of data order and augmentation.
        accelerator: that of the run.
    """

    def __init__(
        self, data: Data, config: TrainingConfig, seed: int, accelerator: Accelerator
    ) -> None:
        self._data, self._config, self._accelerator = data, config, accelerator
        self._order = Order(len(data.train), config.recipe.batch_size, seed)

    def training(self, steps: range, watcher: Watcher) -> Iterator[list[Batch]]:
        """Yield the batches of some steps, each in parts for accumulation."""
        recipe, accelerator = self._config.recipe, self._accelerator
        batches = training_batches(
            self._data.train,
            self._order,
            steps,
            parts=accelerator.num_processes * recipe.accumulate,
            share=range(
                accelerator.process_index,
                accelerator.num_processes * recipe.accumulate,
                accelerator.num_processes,
            ),
            workers=self._config.data.readers,
        )
        for parts in batches:
            for part in parts:
                self._check_readable(part, watcher)
            yield parts

    def evaluation(self, images: Images, watcher: Watcher) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pixels with shape (N, C, H, W) and labels with shape (N,)."""
        batches = evaluation_batches(
            images,
            _EVALUATION_BATCH,
            rank=self._accelerator.process_index,
            processes=self._accelerator.num_processes,
            workers=self._config.data.readers,
        )
        for batch in batches:
            self._check_readable(batch, watcher)
            pixels, labels = self.on_device(batch)
            if len(labels):
                yield pixels, labels

    def on_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the pixels and labels of a batch on the device of the run."""
        device = self._accelerator.device
        pixels = batch.inputs.to(device, non_blocking=True)
        return pixels, batch.targets.to(device, non_blocking=True)

    def _check_readable(self, batch: Batch, watcher: Watcher) -> None:
        if batch.unreadable and self._config.data.bad_images == "refuse":
            raise InputError(cannot_read(batch.unreadable))
        if batch.unreadable:
            watcher.skipped(batch.unreadable)
