"""The inputs of a network: shape without the batch, and dtype, of each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bamctl import units
from bamctl.errors import InputError, shown

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")

_EXTENT = "[1-9][0-9]{0,5}"
# A scalar for each image, such as the time step of a diffusion model, with shape (batch,).
_PER_IMAGE = "N"
_INPUT = re.compile(rf"({_EXTENT}(?:x{_EXTENT})*|{_PER_IMAGE})(?::({'|'.join(DTYPES)}))?", re.ASCII)


@dataclass(frozen=True)
class Input:
    """One positional argument of a network, such as an image with shape (3, 224, 224).

    `shape` is that of one image, without the batch; it is () for a scalar for each image. `dtype`
    is None for the dtype of the network's weights.
    """

    shape: tuple[int, ...]
    dtype: str | None = None

    def __str__(self) -> str:
        return (units.shape(self.shape) or _PER_IMAGE) + (f":{self.dtype}" if self.dtype else "")


Inputs = tuple[Input, ...]

# Accepted from users: one shape, or one for each argument, as numbers or as text.
InputsLike = str | Input | Iterable["int | str | Input | Iterable[int]"]


def read(given: InputsLike) -> Inputs:
    """Parse inputs as users write them.

    >>> [str(each) for each in read((3, 224, 224))]
    ['3x224x224']
    >>> [str(each) for each in read(["3x64x64", "10:int64", "N"])]
    ['3x64x64', '10:int64', 'N']

    Raises:
        InputError: an extent is not a positive integer, or a dtype is unknown.
    """
    if isinstance(given, str | Input) or not isinstance(given, Iterable):
        return (_input(given),)
    items = tuple(given)
    if items and all(isinstance(item, int) for item in items):
        return (_input(items),)
    if not items:
        raise InputError("no input is given; write one like 3x224x224")
    return tuple(map(_input, items))


def text(inputs: Inputs) -> str:
    """Return the inputs as one line of text.

    >>> text(read(["3x64x64", "10:int64"]))
    '3x64x64, 10:int64'
    """
    return ", ".join(map(str, inputs))


def _input(given: object) -> Input:
    if isinstance(given, Input):
        return given
    extents = given if isinstance(given, list | tuple) else (given,)
    written = "x".join(map(str, extents)).strip() if extents else _PER_IMAGE
    match = _INPUT.fullmatch(written)
    if match is None:
        raise InputError(
            f"input {shown(written)} is not channels x height x width, or other extents up to "
            "999,999; write it like 3x224x224, or 77:int64 with one of the types "
            f"{', '.join(DTYPES)}, or N for a number for each image"
        )
    written, dtype = match.groups()
    return Input(() if written == _PER_IMAGE else tuple(map(int, written.split("x"))), dtype)
