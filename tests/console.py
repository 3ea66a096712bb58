"""The console script without the seconds that it imports torch: each call is a fork of a server.

The server has imported the libraries and `bamctl`. A call has its own process, folder, environment,
arguments and pipes, and runs the installed script, or another program, as Python runs it. What is
settled when an interpreter starts, or typer is imported, cannot be another one in a fork; a call
that wants that gets a process of its own.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests import adopted

SCRIPT = Path(sysconfig.get_path("scripts")) / "bamctl"
AT_START = (
    *("PYTHONHASHSEED", "PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONUTF8"),
    *("TYPER_USE_RICH", "TYPER_STANDARD_TRACEBACK", "_TYPER_STANDARD_TRACEBACK"),
)
# Commands and options that start processes.
STARTING_WORKERS = frozenset({"train", "search", "--all", "--against"})
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
    adopts = not STARTING_WORKERS.isdisjoint(arguments)
    command = [str(program), *arguments]
    process = Process(command, cwd, env, out.writer, err.writer, adopts=adopts)
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
    session; with `adopts`, its workers are forks too, and not interpreters of their own.
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
        adopts: bool = False,
    ) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        # Each message of this kind of socket is read alone.
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        call = {"argv": self.args, "cwd": str(cwd), "env": dict(env)}
        call |= {"new_session": new_session, "adopts": adopts}
        request = json.dumps(call).encode()
        with _lock:
            header = len(request).to_bytes(4, "big")
            server, _ = _server()
            socket.send_fds(server, [header], [theirs.fileno(), out, err])
            server.sendall(request)
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
def _server() -> tuple[socket.socket, socket.socket]:
    """The connections for calls and for workers to a server, which ends when they do."""
    calls, called = socket.socketpair()
    workers, working = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handles = [called.fileno(), working.fileno()]
    subprocess.Popen(
        [sys.executable, "-m", "tests.server", *map(str, handles)],
        pass_fds=handles,
        stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    called.close()
    working.close()
    return calls, workers


@contextmanager
def quick_workers() -> Iterator[None]:
    """Let the workers of this process be forks of the server, which has imported torch."""
    with adopted.adopting(lambda: _server()[1]):
        yield
