"""The README's console sessions, run: `python -m tests.readme` writes their output anew."""

import re
import shlex
import tempfile
from pathlib import Path

from tests import console
from tests.conftest import REPOSITORY

README = REPOSITORY / "README.md"
_SESSION = re.compile(r"^```console\n\$ (?P<command>.+)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def sessions() -> list[re.Match[str]]:
    """Each console block of one command, with the command and the output that it shows."""
    return list(_SESSION.finditer(README.read_text(encoding="utf-8")))


def code(language: str) -> list[str]:
    """The code blocks of a language."""
    blocks = re.finditer(rf"^```{language}\n((?:.*\n)*?)```$", README.read_text(), re.MULTILINE)
    return [block[1] for block in blocks]


def run(command: str, folder: Path) -> str:
    """What a command prints, in a folder."""
    program, *arguments = shlex.split(command)
    assert program == "bamctl"
    found = console.run(arguments, cwd=folder)
    # A check that fails shows what the README is there to show.
    assert found.returncode in (0, 1), found.stderr
    return found.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = _SESSION.sub(
            lambda found: (
                f"```console\n$ {found['command']}\n{run(found['command'], Path(folder))}```"
            ),
            README.read_text(encoding="utf-8"),
        )
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
