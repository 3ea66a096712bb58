"""Attention modules in a network: measured beside it, and each of them alone."""

import pytest
import torch

from bamctl import Placement
from bamctl.networks.inputs import read
from bamctl.placement.sites import Site, resolve
from bamctl.timing.measured import measure_placed, measure_sites, measured_added, with_sites
from bamctl.timing.placed import Estimator, estimated_added
from bamctl.timing.profiles import find
from bamctl.timing.setup import Setup
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from tests.networks import ChannelsLastTrunk, Unseen

GIVEN = read((3, 64, 64))


def placed(network: torch.nn.Module, where: str = "block") -> tuple[Site, ...]:
    return resolve(Placement(where=where), find_trunk(network, trace(network, GIVEN)))


def test_the_network_itself_is_not_modified() -> None:
    network = Unseen()
    keys = list(network.state_dict())
    modified = with_sites(network, placed(network))
    assert list(network.state_dict()) == keys
    assert set(keys) < set(modified.state_dict())
    assert modified.entry.weight is network.entry.weight


@pytest.mark.parametrize("train", [False, True])
def test_modules_cost_time_and_each_of_them_some_of_it(train: bool) -> None:
    network = Unseen()
    sites = placed(network)
    setup = Setup(threads=1, train=train)
    found = measure_placed(
        network, sites, GIVEN, setup=setup, batch_size=4, min_seconds=1, per_site=True
    )
    # Small as the network is, its modules take longer than it does.
    assert found.verdict == "slower"
    assert list(found.sites) == [site.point.module for site in sites]
    assert all(ms > 0 for ms in found.sites.values())


def test_no_module_no_time() -> None:
    assert measure_sites(Unseen(), (), GIVEN) == {}
    found = measure_placed(Unseen(), (), GIVEN, min_seconds=0.1, per_site=True)
    assert found.sites == {}


@pytest.mark.parametrize("network", [Unseen(), ChannelsLastTrunk()])
def test_an_estimate_is_that_of_the_modified_network(network: torch.nn.Module) -> None:
    """Lowered whole, the modified network has the kernels of the parts, and takes as long."""
    sites = placed(network)
    profile = find("rtx4090")
    parts = Estimator(network, trace(network, GIVEN), profile).estimate(sites, 16)
    modified = with_sites(network, sites)
    whole = Estimator(modified, trace(modified, GIVEN), profile).estimate((), 16)
    assert whole.num_base_kernels == parts.num_base_kernels + parts.num_added_kernels
    # Added kernels are weighed as those of the network, which they hardly change.
    assert whole.base_seconds == pytest.approx(parts.modified_seconds, rel=1e-4)


def test_what_is_added_is_estimated_or_measured() -> None:
    network = Unseen()
    sites = placed(network)
    traced = trace(network, GIVEN)
    estimated = estimated_added(network, traced, sites, find("rtx4090"), 8)
    assert estimated.profile == find("rtx4090")
    assert estimated.sites == Estimator(network, traced, find("rtx4090")).estimate(sites, 8).sites
    measured = measured_added(network, GIVEN, sites, Setup(), 2)
    assert (measured.profile, measured.device, measured.batch_size) == (None, "cpu", 2)
    assert measured.base_seconds > 0
    assert list(measured.sites) == list(estimated.sites)
