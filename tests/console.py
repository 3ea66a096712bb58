"""The console script without the seconds that it imports torch: each call is a fork of a server.

The server has imported the libraries and the library of `bamctl`, but not its commands, whose
typer reads the environment. A call has its own process, folder, environment, arguments and pipes,
and runs the installed script, or another program, as Python runs it. What is settled when an
interpreter starts cannot be another one in a fork; a call that wants that gets a process of its
own.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

SCRIPT = Path(sysconfig.get_path("scripts")) / "bamctl"
# What the commands import between them, but for typer, which reads the environment when imported.
LIBRARIES = (
    "torch torch.fx torch._dynamo torch.utils.flop_counter torchvision fvcore.nn numpy scipy.stats "
    "pydantic yaml rich.table optuna sqlalchemy accelerate safetensors.torch jinja2 "
    "PIL.Image filelock psutil sklearn.datasets"
).split()
AT_START = ("PYTHONHASHSEED", "PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONUTF8")
TIMEOUT = 300.0
# An argument in place of which a fork is given the number of its parent process.
PARENT = "{parent}"


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    program: Path = SCRIPT,
) -> "subprocess.CompletedProcess[str]":
    """Run a program in a folder, and return what it printed and its exit code."""
    env = dict(os.environ if env is None else env)
    if any(env.get(name) != os.environ.get(name) for name in AT_START):
        return run_real(arguments, cwd=cwd, env=env, program=program)
    out, err = _Output(), _Output()
    process = Process([str(program), *arguments], cwd, env, out.writer, err.writer)
    try:
        code = process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, code, out.text(), err.text())


def run_text(text: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a program that is given as text, as `python -c` would."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(text)
        return run(arguments, cwd=cwd, program=program)


def run_real(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    program: Path = SCRIPT,
) -> "subprocess.CompletedProcess[str]":
    """Run a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


class _Output:
    """A pipe, and a thread that reads it; whoever takes the writing end closes it."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._text = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with open(self._reader, encoding="utf-8") as stream:
            self._text = stream.read()

    def text(self) -> str:
        """All that was written, when every writer has ended."""
        self._thread.join(TIMEOUT)
        return self._text


class Process:
    """A program in a fork of the server, with what a test uses of `subprocess.Popen`.

    The files that it is given to write to are closed here. `new_session` makes it the leader of a
    session.
    """

    def __init__(
        self,
        args: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        out: int,
        err: int,
        *,
        new_session: bool = False,
    ) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        # Each message of this kind of socket is read alone.
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        call = {"argv": self.args, "cwd": str(cwd), "env": dict(env), "new_session": new_session}
        request = json.dumps(call).encode()
        with _lock:
            header = len(request).to_bytes(4, "big")
            socket.send_fds(_server(), [header], [theirs.fileno(), out, err])
            _server().sendall(request)
        theirs.close()
        os.close(out)
        os.close(err)
        self.pid = int(self._connection.recv(64))

    def wait(self, timeout: float) -> int:
        """The exit code, or the negative number of a signal.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = int(self._connection.recv(64))
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


_lock = threading.Lock()


@cache
def _server() -> socket.socket:
    """The connection to this process's server, which ends when the connection does."""
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        env=environment,
    )
    theirs.close()
    return ours


def _library() -> Iterator[str]:
    """The modules of bamctl that are no part of its program."""
    for each in pkgutil.walk_packages(importlib.import_module("bamctl").__path__, "bamctl."):
        if each.name.split(".")[1] not in ("__main__", "cli"):
            yield each.name


def serve(connection: socket.socket) -> None:
    """Fork for each request, until the other side ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in [*LIBRARIES, *_library()]:
            importlib.import_module(library)
    gc.collect()
    gc.freeze()
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


def _call(argv: list[str], cwd: str, env: dict[str, str], new_session: bool) -> NoReturn:
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
    ours = ("tests",) if argv[0] == str(SCRIPT) else ("tests", "bamctl")
    for name in [each for each in sys.modules if each.partition(".")[0] in ours]:
        del sys.modules[name]
    code = 1
    try:
        runpy.run_path(argv[0], run_name="__main__")
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


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
