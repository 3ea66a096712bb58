"""What is known of each model."""

import pytest

from bamctl.analysis import catalog
from bamctl.errors import InputError
from bamctl.networks import inputs


def test_a_glob_selects() -> None:
    assert catalog.matching("resnet1*") == ("resnet101", "resnet152", "resnet18")
    with pytest.raises(InputError, match="no model matches 'lenet'"):
        catalog.matching("lenet")


def test_sites_are_counted_on_demand() -> None:
    (known,) = catalog.entries(("vgg11",), count=False)
    # torchvision publishes 132,863,336 parameters and 7.609 G multiply-adds at 224x224.
    assert (known.params, known.macs, inputs.text(known.inputs)) == (
        132_863_336,
        7_609_000_000,
        "3x224x224",
    )
    assert (known.num_bottlenecks, known.num_blocks) == (None, None)
    (counted,) = catalog.entries(("resnet18",), count=True)
    assert (counted.num_bottlenecks, counted.num_blocks) == (3, 8)
