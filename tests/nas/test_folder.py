"""The folder of a search: who may read what is in it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from bamctl.errors import InputError
from bamctl.nas import folder
from bamctl.nas.config import SearchConfig
from bamctl.networks.inputs import read
from bamctl.training.config import TrainingConfig
from bamctl.training.recipe import Recipe

URL = "postgresql+psycopg://me:hunter2@host/db?sslpassword=hunter3"


@pytest.fixture
def config() -> SearchConfig:
    recipe = Recipe(steps=1, lr=0.1, eval_every=1)
    training = TrainingConfig(
        model="resnet18", input=read("3x64x64"), num_classes=2, recipe=recipe, seeds=[0]
    )
    return SearchConfig(training=training, trials=1, storage=SecretStr(URL))


def holders(path: Path) -> list[str]:
    """The files in which a password stands."""
    files = [each for each in path.rglob("*") if each.is_file()]
    return [each.name for each in files if b"hunter" in each.read_bytes()]


def test_the_password_is_in_one_file_that_its_owner_alone_reads(
    config: SearchConfig, tmp_path: Path
) -> None:
    made = folder.create(tmp_path / "run", config)
    made.close()
    assert made.password_file == tmp_path / "run" / "storage.url"
    assert made.password_file.stat().st_mode & 0o777 == 0o600
    assert holders(tmp_path) == ["storage.url"]
    assert folder.read_config(tmp_path / "run") == config
    assert made.storage(folder.read_config(tmp_path / "run")) == URL
    assert "hunter" not in repr(config)
    made.password_file.unlink()
    with pytest.raises(InputError, match=r"storage\.url is missing"):
        folder.read_config(tmp_path / "run")


def test_a_folder_with_the_password_in_its_configuration_goes_on(
    config: SearchConfig, tmp_path: Path
) -> None:
    config.save(tmp_path / "config.yaml")
    file = tmp_path / "config.yaml"
    shown = "postgresql+psycopg://me:***@host/db?sslpassword=***"
    file.write_text(file.read_text().replace(shown, URL))
    assert holders(tmp_path) == ["config.yaml"]
    found = folder.read_config(tmp_path)
    assert found == config
    folder.reopen(tmp_path, found).close()
    assert holders(tmp_path) == ["storage.url"]
    assert folder.read_config(tmp_path) == config


def test_a_storage_without_a_password_needs_no_other_file(
    config: SearchConfig, tmp_path: Path
) -> None:
    plain = config.model_copy(update={"storage": SecretStr("sqlite:///study.db")})
    made = folder.create(tmp_path / "run", plain)
    made.close()
    assert made.password_file is None
    assert folder.read_config(tmp_path / "run") == plain
