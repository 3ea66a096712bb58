"""The console sessions of README and chapters: `python -m tests.readme` runs them anew."""

import re
import shlex
import tempfile
from pathlib import Path

from tests import console
from tests.conftest import REPOSITORY

README = REPOSITORY / "README.md"
CHAPTERS = REPOSITORY / "bamctl" / "help"
PAGES = (README, *sorted(CHAPTERS.glob("*.md")))
_SESSION = re.compile(r"^```console\n\$ (?P<command>.+)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def sessions() -> list[re.Match[str]]:
    """Each console block of one command, with the command and the output that it shows."""
    return [found for page in PAGES for found in _SESSION.finditer(page.read_text("utf-8"))]


def code(language: str, *pages: Path) -> list[str]:
    """The code blocks of a language, in some pages or in all."""
    blocks = re.compile(rf"^```{language}\n((?:.*\n)*?)```$", re.MULTILINE)
    texts = [page.read_text("utf-8") for page in pages or PAGES]
    return [block[1] for text in texts for block in blocks.finditer(text)]


def run(command: str, folder: Path) -> str:
    """What a command prints, in a folder."""
    program, *arguments = shlex.split(command)
    assert program == "bamctl"
    found = console.run(arguments, cwd=folder)
    # A check that fails shows what the page is there to show.
    assert found.returncode in (0, 1), found.stderr
    return found.stdout


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(_SESSION.sub(_run_again, text), encoding="utf-8")


def _run_again(found: re.Match[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return f"```console\n$ {found['command']}\n{run(found['command'], Path(folder))}```"


if __name__ == "__main__":
    main()
