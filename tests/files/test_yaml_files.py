"""YAML is read with lines, and nothing surprising is let through."""

import time
from pathlib import Path

import pytest

from bamctl.errors import InputError
from bamctl.files import yaml_files


def load(tmp_path: Path, text: str | bytes) -> yaml_files.YamlFile:
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yaml_files.load(path)


def test_data_and_lines(tmp_path: Path) -> None:
    file = load(tmp_path, "a: 1\nb:\n  - x\n  - y: [2.5, true, null]\n# end\nc: 'é'\n")
    assert file.data == {"a": 1, "b": ["x", {"y": [2.5, True, None]}], "c": "é"}
    assert file.line(("b",)) == 2
    assert file.line(("b", 1, "y")) == 4
    assert file.line(("b", 1, "unknown")) == 4
    assert file.line(("unknown",)) == 1


BOMB = "a: &a [x, x]\n" + "".join(
    f"k{i}: &k{i} [*{'a' if not i else f'k{i - 1}'}]\n" for i in range(40)
)
WRONG = {
    "tab": ("a:\n\tb: 1", ":2: not valid YAML"),
    "duplicate": ("a: 1\nb: 2\na: 3", ":3: duplicate key 'a', first on line 1"),
    "alias": ("a: &x 1\nb: *x", ":2: not valid YAML: aliases are not allowed"),
    "bomb": (BOMB, "aliases are not allowed"),
    "tag": ("a: !!python/object/apply:os.system ['true']", ":1: the tag tag:yaml.org"),
    "own tag": ("a: 1\nb: !secret x", ":2: the tag !secret is not allowed"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
    "nesting": ("[" * 90_000, "nested deeper than 20 levels"),
    "merge": ("a: 1\n<<: {b: 2}", ":2: a key must be a plain string"),
    "complex key": ("? [a, b]\n: 1", ":1: a key must be a plain string"),
    "latin": ("a: 1\nb: \xe9".encode("latin-1"), ":2: not UTF-8 text"),
    "nul": ("a: \0", "not valid YAML"),
    "date": ("a: 2024-01-01", ":1: the tag"),
    "large": ("a: " + "x" * 1_100_000, "larger than 100 kB"),
    "unclosed": ("a: [1, 2", "not valid YAML"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert time.monotonic() - start < 5
    assert message in str(error.value)
    path, line = error.value.path, error.value.line
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert path == tmp_path / "file.yaml"
    assert not message.startswith(":") or line == int(message.split(":")[1])
    assert "\n" not in str(error.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for path in (tmp_path, tmp_path / "none.yaml", tmp_path / "link"):
        with pytest.raises(InputError, match=r"cannot be read|is not a regular file"):
            yaml_files.load(path)
