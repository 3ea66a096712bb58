"""The batches of a run, on its device, without unreadable images."""

from collections.abc import Iterator
from dataclasses import replace

from accelerate import Accelerator
from accelerate.utils import send_to_device

from bamctl.data.images import Batch, Images, cannot_read
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training._loader import Order, evaluation_batches, training_batches
from bamctl.training.config import TrainingConfig
from bamctl.training.watching import Watcher

# Samples at a time: of a class each, and of larger answers.
_EVALUATION_BATCH, _LARGE_SAMPLES = 256, 16


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

    def evaluation(self, images: Images, watcher: Watcher) -> Iterator[Batch]:
        """Yield the batches of a split on the device of the run."""
        batches = evaluation_batches(
            images,
            _EVALUATION_BATCH if self._config.task == "classification" else _LARGE_SAMPLES,
            rank=self._accelerator.process_index,
            processes=self._accelerator.num_processes,
            workers=self._config.data.readers,
        )
        for batch in batches:
            self._check_readable(batch, watcher)
            if len(batch):
                yield self.on_device(batch)

    def on_device(self, batch: Batch) -> Batch:
        """Return a batch on the device of the run."""
        device = self._accelerator.device
        inputs, targets = send_to_device((batch.inputs, batch.targets), device, non_blocking=True)
        return replace(batch, inputs=inputs, targets=targets)

    def _check_readable(self, batch: Batch, watcher: Watcher) -> None:
        if batch.unreadable and self._config.data.bad_images == "refuse":
            raise InputError(cannot_read(batch.unreadable))
        if batch.unreadable:
            watcher.skipped(batch.unreadable)
