"""Standard output is for results alone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def results_apart() -> Iterator[None]:
    """Send what is printed in this block to standard error, by C code and child processes too.

    What a network of one's own prints is no part of a result.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
