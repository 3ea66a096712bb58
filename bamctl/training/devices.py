"""Devices and processes, as Accelerate finds them."""

import torch
from accelerate import Accelerator, PartialState

from bamctl.errors import InputError
from bamctl.training.config import TrainingConfig


def uses_cpu(device: str) -> bool:
    """Return whether to train on the CPU, which Accelerate must know before processes connect."""
    return device == "cpu" or not torch.accelerator.is_available()


def is_main() -> bool:
    """Return whether this is the main process, which writes files and reports."""
    return bool(PartialState().is_main_process)


def accelerator_for(config: TrainingConfig) -> Accelerator:
    """Return the accelerator for a configuration, on one device or, under a launcher, on several.

    Raises:
        InputError: the batch cannot be divided by the number of processes and accumulation steps.
    """
    recipe = config.recipe
    accelerator = Accelerator(
        cpu=uses_cpu(config.device),
        mixed_precision=recipe.precision,
        gradient_accumulation_steps=recipe.accumulate,
    )
    parts = accelerator.num_processes * recipe.accumulate
    if recipe.batch_size % parts:
        raise InputError(
            f"a batch of {recipe.batch_size} cannot be cut into {parts} equal parts, for "
            f"{accelerator.num_processes} processes and {recipe.accumulate} parts each; "
            f"try --batch-size {parts * max(recipe.batch_size // parts, 1)}"
        )
    return accelerator
