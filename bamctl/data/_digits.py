"""The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships, from the UCI repository."""

import torch

from bamctl.data._source import Source, Wanted, in_memory


def digits(wanted: Wanted) -> Source:
    """Return all digits as the training split; the set has no other."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = torch.as_tensor(found.images / 16 * 255).round().to(torch.uint8).unsqueeze(1)
    images = in_memory(wanted, pixels, torch.as_tensor(found.target), mirrored=False)
    return Source(images, None, None, tuple(map(str, range(10))))
