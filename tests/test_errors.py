"""What the machine lacked is told from what the input is."""

import errno
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bamctl.errors import NO_MEMORY, BamctlError, InputError, appended, blame, machine_fault


def raised(fail: object) -> BaseException:
    try:
        fail()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "fail",
    [
        lambda: bytearray(1 << 60),
        lambda: torch.empty(10**15),
        lambda: np.empty(10**15),
    ],
)
def test_memory_of_python_pytorch_and_numpy(fail: object) -> None:
    assert machine_fault(raised(fail)) == NO_MEMORY


def test_a_cause_is_found_along_the_chain() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904

    assert machine_fault(raised(fail)) == "No space left on device"


def test_a_cause_that_was_set_aside_is_none() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("of another kind") from None

    assert machine_fault(raised(fail)) is None


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP])
def test_what_is_wrong_with_a_path_is_the_inputs_fault(number: int) -> None:
    error = blame(OSError(number, "why"), "cannot write x")
    assert (type(error), str(error)) == (InputError, "cannot write x: why")


def test_advice_keeps_the_kind_of_an_error() -> None:
    for kind in (BamctlError, InputError):
        with pytest.raises(kind, match=r"^a; b$"), appended("b"):
            raise kind("a")
    with pytest.raises(InputError, match=r"^a$"), appended(""):
        raise InputError("a")


def test_an_error_knows_where_it_is() -> None:
    error = InputError("'lr' is missing", path="runs/a.yaml", line=3, key="recipe")
    assert str(error) == "runs/a.yaml:3: 'lr' is missing"
    assert (error.path, error.line, error.key) == ("runs/a.yaml", 3, "recipe")
    plain = InputError("'lr' is missing")
    assert (str(plain), plain.path, plain.line, plain.key) == ("'lr' is missing", None, None, None)
    assert str(InputError("empty", path=Path("a.yaml"))) == "a.yaml: empty"


def test_where_an_error_is_survives_a_process_boundary_and_advice() -> None:
    error = InputError("wrong", path="a.yaml", line=3, key="where")
    copied = pickle.loads(pickle.dumps(error))
    with pytest.raises(InputError) as advised, appended("the rest is kept"):
        raise error
    assert str(copied) == "a.yaml:3: wrong"
    assert str(advised.value) == "a.yaml:3: wrong; the rest is kept"
    for each in (copied, advised.value):
        assert (each.path, each.line, each.key) == ("a.yaml", 3, "where")
