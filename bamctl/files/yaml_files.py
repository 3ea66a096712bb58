"""Reading and writing YAML: plain data only, with the line of every value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from bamctl.errors import InputError, blame, shown
from bamctl.files.atomic import check_can_read, write_text

MAX_BYTES = 100_000
MAX_DEPTH = 20

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """The data of a YAML file, and the line of each key, counted from 1."""

    path: Path
    data: Any
    lines: dict[KeyPath, int]

    def line(self, key_path: KeyPath) -> int:
        """Return the line of a key, or of the nearest enclosing key."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return self.lines.get(key_path, 1)


def load(path: Path) -> YamlFile:
    """Read one YAML document.

    Only plain scalars, lists and mappings are accepted: no tags that construct objects, no aliases
    (a few nested ones expand to gigabytes), no duplicate keys, at most 100 kB and 20 levels.

    Raises:
        InputError: the file cannot be read, or is no such document; names file and line.
    """
    root = _compose(path, _read(path))
    lines: dict[KeyPath, int] = {(): 1}
    return YamlFile(path, None if root is None else _plain(path, root, (), lines), lines)


def dump(path: Path, data: dict[str, Any]) -> None:
    """Write a mapping as YAML, atomically, in the order of its keys.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, text(data))


def text(data: dict[str, Any]) -> str:
    """Return a mapping as YAML, in the order of its keys."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def value(text: str) -> Any:
    """Parse one plain value as YAML.

    >>> value("3"), value("[2, 2]"), value("null"), value("relu")
    (3, [2, 2], None, 'relu')

    Raises:
        InputError: the text is no such value.
    """
    path = Path(text)
    root = _compose(path, text)
    return None if root is None else _plain(path, root, (), {})


def _read(path: Path) -> str:
    check_can_read(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(
                f"larger than {MAX_BYTES // 1000:,} kB; is it the right file?", path=path, line=1
            )
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError("not UTF-8 text; save the file as UTF-8", path=path, line=line) from error
    except OSError as error:
        raise blame(error, f"{path}: cannot be read") from error


class _Loader(yaml.SafeLoader):
    """A loader that rejects aliases and deep nesting while composing, before they can expand."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, "aliases are not allowed; write the value out")
        if self.depth == MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, event: yaml.Event, problem: str) -> NoReturn:
        mark = event.start_mark
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)  # type: ignore[arg-type]


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"not valid YAML: {error.problem}", path=path, line=line) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"not valid YAML: {reason}", path=path, line=1) from error
    except RecursionError as error:
        raise InputError("nested too deeply; flatten it", path=path, line=1) from error


def _plain(path: Path, node: yaml.Node, key_path: KeyPath, lines: dict[KeyPath, int]) -> Any:
    lines.setdefault(key_path, node.start_mark.line + 1)
    if node.tag not in _PLAIN_TAGS:
        raise InputError(
            f"the tag {node.tag} is not allowed; write a plain value",
            path=path,
            line=node.start_mark.line + 1,
        )
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, n, (*key_path, i), lines) for i, n in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(path, node, key_path, lines)
    try:
        return yaml.SafeLoader("").construct_object(node)
    except Exception as error:  # the constructor of a tag such as !!int fails on other text
        raise InputError(
            f"{shown(node.value)} cannot be read as a value",
            path=path,
            line=node.start_mark.line + 1,
        ) from error


def _mapping(
    path: Path, node: yaml.MappingNode, key_path: KeyPath, lines: dict[KeyPath, int]
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
            raise InputError("a key must be a plain string", path=path, line=line)
        key = str(key_node.value)
        if key in data:
            first = lines[(*key_path, key)]
            raise InputError(
                f"duplicate key {shown(key)}, first on line {first}", path=path, line=line
            )
        lines[(*key_path, key)] = line
        data[key] = _plain(path, value_node, (*key_path, key), lines)
    return data
