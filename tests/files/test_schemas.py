"""What every YAML reader refuses: keys that it does not know, whatever stands behind them."""

import copy
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.nas.config import SearchConfig
from bamctl.timing.profiles import Profile
from bamctl.training.config import TrainingConfig

PLACEMENT = {
    "schema": 1,
    "model": "resnet18",
    "attention": {"reduction": 8},
    "insertions": {"layer1": {"dilation": 2}},
    "budget": {"params": {"max": "+2 %"}, "latency": {"max": "3 ms"}},
}
TRAINING = {
    "schema": 1,
    "model": "resnet18",
    "input": "3x32x32",
    "num_classes": 10,
    "data": {"name": "digits"},
    "recipe": {"steps": 5, "lr": 0.1, "eval_every": 5},
    "seeds": [0],
    "placements": {"mine": {"where": "layer1", "attention": {"init": "identity"}}},
}
SEARCH = {"schema": 1, "training": TRAINING, "space": {"stages": 3}, "trials": 3}
PROFILE = yaml.safe_load(
    (Path(str(resources.files("bamctl.timing"))) / "devices" / "rtx3090.yaml").read_text()
)
READERS: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "placement": (Placement.load, PLACEMENT),
    "training": (TrainingConfig.load, TRAINING),
    "search": (SearchConfig.load, SEARCH),
    "profile": (Profile.load, PROFILE),
}
# Their keys are the user's own names: keyword arguments, modules, arms, families of networks.
FREE = ("args", "insertions", "placements", "families")


def mappings(data: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not path or path[-1] not in FREE:
        yield path
    for key, value in data.items():
        if isinstance(value, dict):
            yield from mappings(value, (*path, key))


CASES = [(name, path) for name, (_, data) in READERS.items() for path in mappings(data)]


def test_every_level_is_among_the_cases() -> None:
    assert ("placement", ("insertions", "layer1")) in CASES
    assert ("search", ("training", "placements", "mine", "attention")) in CASES


@pytest.mark.parametrize(("name", "path"), CASES)
@pytest.mark.parametrize("value", [None, 3])
def test_an_unknown_key_is_refused(
    name: str, path: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    load, data = READERS[name]
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    load(file)
    changed = inner = copy.deepcopy(data)
    for key in path:
        inner = inner[key]
    inner["insertoins"] = value
    file.write_text(yaml.safe_dump(changed, sort_keys=False))
    (line,) = [n for n, text in enumerate(file.read_text().splitlines(), 1) if "insertoins" in text]
    with pytest.raises(InputError) as error:
        load(file)
    where = ".".join((*path, "insertoins"))
    assert str(error.value).startswith(f"{file}:{line}: unknown key '{where}'")
