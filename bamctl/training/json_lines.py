"""Append-only files of JSON lines without duplicates."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bamctl.errors import BamctlError, InputError
from bamctl.files.atomic import append_bytes, check_can_read, write_text
from bamctl.training import lines

Line = dict[str, Any]


class JsonLines:
    """A file of JSON lines that are unique by some keys.

    An existing line is not written again, so that work repeated after an interruption is recorded
    once.
    """

    def __init__(
        self,
        path: Path,
        keys: tuple[str, ...],
        schema: type[lines.Line] = lines.Line,
        *,
        is_writer: bool = True,
    ) -> None:
        self.path = path
        self._keys = keys
        self._schema = schema
        self._is_writer = is_writer
        self.lines: list[Line] = []
        if path.exists():
            self._read()

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line and flush it to the disk, unless one with its keys exists.

        Raises:
            BamctlError: the line cannot be written; the file is unchanged.
        """
        if not self._is_writer or self._key(line) in map(self._key, self.lines):
            return
        try:
            append_bytes(self.path, json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise BamctlError(
                f"cannot write {self.path}: {error.strerror}; {go_on(self.path.parent)}"
            ) from error
        self.lines.append(dict(line))

    def drop(self, is_void: Callable[[Line], bool]) -> None:
        """Remove void lines, atomically.

        Raises:
            InputError: the file cannot be written; it is unchanged.
        """
        self._rewrite([line for line in self.lines if not is_void(line)])

    def sort(self, key: Callable[[Line], Any]) -> None:
        """Sort the lines, atomically; lines with equal keys keep their order.

        Raises:
            InputError: the file cannot be written; it is unchanged.
        """
        self._rewrite(sorted(self.lines, key=key))

    def _rewrite(self, lines: list[Line]) -> None:
        if self._is_writer and lines != self.lines:
            write_text(self.path, "".join(f"{json.dumps(line)}\n" for line in lines))
        self.lines = lines

    def _read(self) -> None:
        check_can_read(self.path)
        content = self.path.read_bytes()
        whole, newline, _ = content.rpartition(b"\n")
        size = len(whole + newline)
        if size < len(content) and self._is_writer:
            # The program ended while writing the last line.
            os.truncate(self.path, size)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self.lines.append(json.loads(line))
                self._key(self.lines[-1])
                self._schema.model_validate(self.lines[-1])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise InputError(
                    f"{self.path}:{number}: not a valid record; delete the line to resume"
                ) from None

    def _key(self, line: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(line[key] for key in self._keys)


def go_on(folder: Path) -> str:
    """Return advice for a file that cannot be written."""
    return f"fix this, then resume with `bamctl train --resume {folder}`"
