"""The package itself: eleven names, and no torch until one of them is used."""

import pytest

import bamctl


def test_public_names() -> None:
    names = {
        "BAM",
        "Placement",
        "__version__",
        "analyze",
        "check",
        "fuse",
        "insert",
        "judge",
        "latency",
        "register_operator",
        "remove",
        "search",
        "train",
    }
    assert set(dir(bamctl)) == names
    for name in dir(bamctl):
        assert getattr(bamctl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'anaylze'"):
        _ = bamctl.anaylze


def test_importing_loads_no_torch(python: object) -> None:
    program = "import sys, bamctl; bamctl.Placement; print('torch' in sys.modules)"
    assert python(program).stdout == "False\n"


def test_version_is_the_distribution_s(python: object) -> None:
    program = (
        "from importlib.metadata import version; import bamctl; "
        "print(version('bamctl') == bamctl.__version__)"
    )
    assert python(program).stdout == "True\n"
