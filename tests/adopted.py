"""Worker processes without the seconds that each imports torch.

`multiprocessing` spawns an interpreter for each worker. Here a process that has imported the
libraries, and done nothing else, forks twice for each. The second fork is an orphan then, which is
adopted by the process that wants the worker, and is its child as any other worker is.
"""

import atexit
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import util
from typing import Any, NoReturn

_SET_CHILD_SUBREAPER = 36  # of prctl(2)
_SPAWNED = "--multiprocessing-fork"
_LONGEST = 2**17
_ADOPTED_SECONDS = 10.0


@contextmanager
def stand_by() -> Iterator[None]:
    """Let the workers that this process starts be forks of what it is now."""
    # Each message of this kind of socket is read alone.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent, pid = os.getpid(), os.fork()
    if not pid:
        ours.close()
        serve(theirs, parent)
    theirs.close()
    try:
        with adopting(lambda: ours):
            yield
    finally:
        ours.close()
        os.waitpid(pid, 0)


@contextmanager
def adopting(connected: Callable[[], socket.socket]) -> Iterator[None]:
    """Let the workers of this process be forks of what serves the other side of a connection.

    Where a process cannot adopt others, workers are interpreters of their own.
    """
    if sys.platform != "linux":
        yield
        return
    real, lock = util.spawnv_passfds, threading.Lock()

    def spawn(path: str, arguments: list[Any], handles: Sequence[Any]) -> int:
        texts = [os.fsdecode(each) for each in arguments]
        if _SPAWNED not in texts:
            return int(real(path, arguments, handles))
        # With the streams, which the command may have redirected.
        numbers = sorted({0, 1, 2, *map(int, handles)})
        program = texts[texts.index("-c") + 1]
        call = {"program": program, "numbers": numbers, "cwd": os.getcwd(), "env": {**os.environ}}
        call["blocked"] = [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
        connection = connected()
        with lock:
            socket.send_fds(connection, [json.dumps(call).encode()], numbers)
            return int(connection.recv(64))

    _adopt(True)
    util.spawnv_passfds = spawn
    try:
        yield
    finally:
        util.spawnv_passfds = real
        _adopt(False)


def _adopt(does: bool) -> None:
    """Set whether this process becomes the parent of orphans among its descendants."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(does))


def serve(connection: socket.socket, parent: int) -> NoReturn:
    """Fork twice for each worker of a process, until that process ends."""
    # What a terminal sends is for the command and its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, handles, _, _ = socket.recv_fds(connection, _LONGEST, 64)
        if not request:
            os._exit(0)
        between = os.fork()
        if not between:
            if not os.fork():
                call = json.loads(request)
                signal.pthread_sigmask(signal.SIG_SETMASK, call["blocked"])
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                _work(call, handles, connection, parent)
            os._exit(0)
        os.waitpid(between, 0)
        for each in handles:
            os.close(each)


def _work(
    call: dict[str, Any], handles: list[int], connection: socket.socket, parent: int
) -> NoReturn:
    """Run a worker, as the interpreter that `multiprocessing` would have started."""
    until = time.monotonic() + _ADOPTED_SECONDS
    while os.getppid() != parent:
        if time.monotonic() > until:
            # Nobody is there to adopt it.
            os._exit(1)
        time.sleep(0.001)
    connection.send(str(os.getpid()).encode())
    connection.close()
    _number(handles, call["numbers"])
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["env"])
    sys.argv[:] = ["-c", _SPAWNED]

    def program() -> None:
        try:
            exec(call["program"], {"__name__": "__main__"})
        finally:
            threading._shutdown()

    end_with(program)


def end_with(run: Callable[[], object]) -> NoReturn:
    """Run the program of a fork, and end as an interpreter does."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _number(handles: list[int], numbers: list[int]) -> None:
    """Give open files the numbers that they have in the command."""
    beyond = max(numbers) + 1
    above = [fcntl.fcntl(each, fcntl.F_DUPFD, beyond) for each in handles]
    for each in handles:
        os.close(each)
    for each, number in zip(above, numbers, strict=True):
        os.dup2(each, number)
        os.close(each)
