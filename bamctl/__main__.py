"""Entry point of `bamctl` and `python -m bamctl`."""

import os
import sys
from typing import NoReturn

if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    # `-m` puts the current folder first on the path; move it behind the installed libraries.
    sys.path.append(sys.path.pop(0))

from bamctl.processes import signals


def main() -> NoReturn:
    """Run the program; install signal handlers before slow imports."""
    _open_streams()
    signals.catch()
    from bamctl.cli.app import main as run

    run()


def _open_streams() -> None:
    """Redirect closed standard streams to the null device, so that no file takes their place."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    main()
