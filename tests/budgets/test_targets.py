"""Placement files for a check: each failure is reported at the line that is to be changed."""

from pathlib import Path

import pytest

from bamctl.budgets.check import check_targets
from bamctl.budgets.targets import Unchecked, find_targets

HEAD = "schema: 1\nmodel: resnet18\ninput: 3x64x64\nbudget: {params: +9 %}\n"


def test_unreadable_files_are_reported_at_their_line(tmp_path: Path) -> None:
    wrong_key, wrong_value = "a: 1\n\nwher: block\n", "\nschema: 2\n"
    texts = {"key.yaml": wrong_key, "value.yaml": wrong_value, "yaml.yml": "\n\n}"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nothing")
    found = {Path(each.name).name: each for each in find_targets([tmp_path]).unreadable}
    lines = {name: each.line for name, each in found.items()}
    assert lines == {"key.yaml": 1, "value.yaml": 2, "yaml.yml": 3, "link.yaml": None}
    assert found["value.yaml"].reason.startswith(
        f"{tmp_path}/value.yaml:2: schema: should be 1, not 2"
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("where: layer9\n", 5, "no module 'layer9' in the network (did you mean"),
        (
            "where: layer1\ninsertions:\n  layer2: {}\n",
            6,
            "insertions: 'layer2' is not selected by 'where'; add it there",
        ),
        ("where: layer1\nnum_classes: 7\nargs: {nonsense: 1}\n", 2, "nonsense"),
    ],
)
def test_what_does_not_fit_is_reported_at_its_key(
    text: str, line: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + text)
    (result,) = check_targets(find_targets([path]).targets)
    assert isinstance(result, Unchecked)
    assert (result.line, result.exit_code) == (line, 2)
    assert result.reason.startswith(f"{path}:{line}: ")
    assert reason in result.reason
