"""The server behind `tests.console`, which has imported what commands need, and forks for each."""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import NoReturn

from tests import adopted
from tests.console import PARENT, SCRIPT

# What the commands import between them.
LIBRARIES = (
    "torch torch.fx torch._dynamo torch.utils.flop_counter torchvision fvcore.nn numpy scipy.stats "
    "pydantic yaml rich.table optuna sqlalchemy accelerate safetensors.torch jinja2 "
    "PIL.Image filelock psutil sklearn.datasets"
).split()


def _own_modules() -> Iterator[str]:
    for each in pkgutil.walk_packages(importlib.import_module("bamctl").__path__, "bamctl."):
        if each.name != "bamctl.__main__":
            yield each.name


def serve(connection: socket.socket, workers: socket.socket) -> None:
    """Fork for each request, until the other side ends."""
    tests = os.getppid()
    # Whoever needs it first may have blocked SIGINT, as a pool does while it starts a worker.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in [*LIBRARIES, *_own_modules()]:
            importlib.import_module(library)
    gc.collect()
    gc.freeze()
    if not os.fork():
        connection.close()
        _forget("tests")
        adopted.serve(workers, tests)
    workers.close()
    # A call that has ended wakes the server up, which tells whoever waits for it.
    waking, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    clients: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, waking], [], [])
        if waking in ready:
            waking.recv(4096)
            _tell_of_ends(clients)
        if connection in ready:
            header, handles, _, _ = socket.recv_fds(connection, 4, 3)
            if not header:
                return
            request = json.loads(connection.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL))
            client, out, err = handles
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for each in (connection, waking, woken):
                    each.close()
                for handle in (client, *clients.values()):
                    os.close(handle)
                _begin(request, out, err)
            clients[pid] = client
            os.close(out)
            os.close(err)
            with suppress(BrokenPipeError):
                os.write(client, str(pid).encode())


def _tell_of_ends(clients: dict[int, int]) -> None:
    """Tell the clients of calls that have ended their exit codes."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            client = clients.pop(pid)
            with suppress(BrokenPipeError):
                os.write(client, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(client)


def _begin(request: dict[str, object], out: int, err: int) -> NoReturn:
    """Take the streams of a call, with the signal handlers of a new interpreter, and run it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Python ignores what its parent does; and a terminal's Ctrl-C is for the one that is run.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.stdin = sys.__stdin__ = os.fdopen(0)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w")
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    _call(**request)


def _call(
    argv: list[str], cwd: str, env: dict[str, str], new_session: bool, adopts: bool
) -> NoReturn:
    """Run the program here, as `python PROGRAM ARGUMENTS` would."""
    if new_session:
        os.setsid()
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    own = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    # The first is the folder of the program that runs.
    rest = [path for path in sys.path[1:] if path not in before]
    sys.path[:] = [os.path.dirname(argv[0]), *own, *rest]
    sys.argv[:] = [str(os.getppid()) if each == PARENT else each for each in argv]
    # Another program finds only the libraries imported.
    _forget("tests", *(() if argv[0] == str(SCRIPT) else ("bamctl",)))

    def program() -> None:
        with adopted.stand_by() if adopts else nullcontext():
            runpy.run_path(argv[0], run_name="__main__")

    adopted.end_with(program)


def _forget(*packages: str) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] in packages]:
        del sys.modules[name]


if __name__ == "__main__":
    serve(*(socket.socket(fileno=int(each)) for each in sys.argv[1:]))
