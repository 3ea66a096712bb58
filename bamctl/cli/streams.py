"""Redirection that keeps standard output for results."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def results_apart() -> Iterator[None]:
    """Redirect standard output to standard error, for C code and child processes, too.

    Output that user-defined networks print is not part of a result.
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
