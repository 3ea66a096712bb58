"""Memory that a process has freed."""

import ctypes
from contextlib import suppress

# Parameters of mallopt in glibc's malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def give_back_at_once() -> None:
    """Make glibc return freed large blocks to the OS; process-wide, no-op without glibc.

    It lowers M_MMAP_THRESHOLD and M_TRIM_THRESHOLD. By default the trace of a large network takes
    twice the memory, for fragmentation. Call it only in a process that bamctl started.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 4 * 2**20)
        mallopt(_TRIM_THRESHOLD, 256 * 2**20)
