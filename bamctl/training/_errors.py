"""Actionable errors of a training step."""

from collections.abc import Iterator
from contextlib import contextmanager

from bamctl.errors import NO_MEMORY, BamctlError, InputError, first_line, machine_fault


@contextmanager
def actionable(batch_size: int, *, is_first: bool) -> Iterator[None]:
    """Turn an exception of a step into an error that says what to do.

    Args:
        batch_size: images in the step.
        is_first: whether no step has been taken before, so that the network itself is at fault.

    Raises:
        InputError: the network cannot be trained on such a batch.
        BamctlError: the batch does not fit in memory.
    """
    try:
        yield
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        if machine_fault(error) == NO_MEMORY:
            raise BamctlError(
                f"a batch of {batch_size} does not fit in memory; try --accumulate 4, or a smaller "
                "batch"
            ) from error
        if not is_first or isinstance(error, InputError):
            raise
        raise InputError(
            f"the network cannot be trained on a batch of {batch_size}: {first_line(error)}; try "
            "another --input or --batch-size"
        ) from error
