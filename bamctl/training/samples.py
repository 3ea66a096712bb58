"""The samples of a comparison: read for a task, at the size of a network, and known again."""

from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from bamctl.data import sets as datasets
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.networks.spec import NetworkSpec
from bamctl.training.config import DataConfig, TrainingConfig
from bamctl.training.devices import uses_cpu
from bamctl.training.tasks.tasks import task_named


def load_data(network: NetworkSpec, config: DataConfig, task: str, *, device: str = "auto") -> Data:
    """Read the samples of a configuration, at the input size of a network.

    Raises:
        InputError: they do not exist, cannot be read, or do not fit the network or the task.
    """
    usual = models.default_inputs(network.name)[0]
    found = task_named(task)
    # One process downloads for all.
    with PartialState(cpu=uses_cpu(device)).main_process_first():
        data = datasets.load(
            config.name,
            usual_shape=usual.shape,
            input_shape=network.input[0].shape if network.input else None,
            root=Path(config.root),
            download=config.download,
            bad_images=config.bad_images,
            num_classes=found.num_labels(network),
            with_test=config.test,
            task=found.samples,
        )
    return data if config.held_out is None else _judged_by(config.held_out, data)


def _judged_by(count: int, data: Data) -> Data:
    """Return data with fewer held-out samples, which are spread evenly over all of them."""
    total = len(data.held_out)
    if count > total:
        raise InputError(f"{data.name} has {total} held-out samples, fewer than {count}")
    held_out = data.held_out.subset([i * total // count for i in range(count)])
    return replace(data, held_out=held_out)


def check_data(config: TrainingConfig, data: Data) -> TrainingConfig:
    """Check the images of a configuration, and return it with their fingerprint.

    Raises:
        InputError: their fingerprint differs from that of the configuration, or they are fewer than
            a batch.
    """
    num_images = len(data.train)
    if config.recipe.batch_size > num_images:
        raise InputError(
            f"the training split has {num_images} images, fewer than a batch of "
            f"{config.recipe.batch_size}; try --batch-size {num_images}"
        )
    known, found = config.data.fingerprint, data.fingerprint()
    if known not in (None, found):
        raise InputError(
            f"the images of {config.data.name} have changed since the comparison was "
            "started; start a new one"
        )
    data_config = config.data.model_copy(update={"fingerprint": found})
    return config.model_copy(update={"data": data_config})
