"""Fashion-MNIST from Debian's package dataset-fashion-mnist, which needs no download."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bamctl.data._source import Source, Wanted, in_memory
from bamctl.data.images import ArrayImages
from bamctl.errors import InputError, blame, first_line
from bamctl.files.atomic import check_can_read

FOLDER = Path("/usr/share/datasets/fashion-mnist")


def is_used(wanted: Wanted) -> bool:
    """Return whether the package is installed and the data root holds no copy of the set."""
    return FOLDER.is_dir() and not (wanted.root / "FashionMNIST").is_dir()


def fashion_mnist(wanted: Wanted) -> Source:
    """Return Fashion-MNIST with its test split.

    Raises:
        InputError: a file of the package cannot be read.
    """
    from torchvision.datasets import FashionMNIST

    def split(prefix: str) -> ArrayImages:
        pixels = _idx(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
        labels = _idx(f"{prefix}-labels-idx1-ubyte.gz", 8).long()
        return in_memory(wanted, pixels, labels, mirrored=False)

    return Source(split("train"), None, lambda: split("t10k"), tuple(FashionMNIST.classes))


def _idx(name: str, header_bytes: int) -> Tensor:
    """Return the payload of an IDX file (the format of MNIST) as a uint8 tensor."""
    path = FOLDER / name
    try:
        check_can_read(path)
        content = gzip.decompress(path.read_bytes())
    except (InputError, OSError, EOFError, zlib.error) as error:
        raise blame(
            error,
            f"{path}: cannot be read",
            f"{first_line(error)}; `apt-get install --reinstall dataset-fashion-mnist` repairs it",
        ) from error
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header_bytes).copy())
