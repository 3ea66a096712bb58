"""Worker processes."""

import contextlib
import threading
import time

from bamctl.processes.pool import Pool


class Cyclic:
    """An object that only the garbage collector frees."""

    alive = 0

    def __init__(self) -> None:
        Cyclic.alive += 1
        self.me = self

    def __del__(self) -> None:
        Cyclic.alive -= 1


def failing() -> None:
    left = Cyclic()
    raise ValueError(left.me is left)


def alive() -> int:
    return Cyclic.alive


def nothing() -> None:
    pass


def test_what_tasks_leave_is_freed() -> None:
    with Pool(1, nothing) as pool:
        for _ in range(6):
            with contextlib.suppress(ValueError):
                pool.submit(failing).result()
        # The frames of the first one were there when the libraries were excluded, and those of the
        # last one may still be.
        assert pool.submit(alive).result() <= 2


def test_nothing_of_a_killed_pool_is_left() -> None:
    """Neither a process nor a thread, which would disturb an interpreter that exits."""
    before = set(threading.enumerate())
    pool = Pool(2, nothing)
    running = [pool.submit(time.sleep, 600) for _ in range(2)]
    processes = list(pool._processes.values())
    pool.kill()
    assert set(threading.enumerate()) <= before
    assert not any(process.is_alive() for process in processes)
    assert all(each.done() for each in running)
