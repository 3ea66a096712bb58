"""What a module looks at is shown where it is: gates set by hand, and arrays worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from bamctl import Placement
from bamctl.analysis.attend import attend, open_image, upsampled
from bamctl.errors import InputError
from bamctl.networks.inserted import attached
from bamctl.placement.sites import Site, resolve
from bamctl.surgery.insert import insert_sites
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from tests.networks import ChannelsLastTrunk, Unseen


class Known(nn.Module):
    """A spatial branch that looks at one place, whatever it is given."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.place = row, column

    def forward(self, maps: Tensor) -> Tensor:
        found = torch.full((len(maps), 1, *maps.shape[2:]), -2.0)
        found[:, :, self.place[0], self.place[1]] = 3.0
        return found


def looking(network: nn.Module, shape: tuple[int, ...], **attention: object) -> tuple[Site, ...]:
    placement = Placement(where="bottleneck", stages="all", attention=attention)
    sites = resolve(placement, find_trunk(network, trace(network, shape)))
    insert_sites(network, sites)
    return sites


def module_at(network: nn.Module, site: Site) -> nn.Module:
    (found,) = attached(network.get_submodule(site.point.module))
    return found


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 48, 96)])
@pytest.mark.parametrize("make", [Unseen, ChannelsLastTrunk])
def test_a_known_gate_is_shown_in_its_place(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    network = make().eval()
    site = looking(network, shape, branches="spatial")[0]
    module_at(network, site).spatial = Known(1, 2)
    found = attend(network, [site], torch.rand(1, *shape))[0]
    height, width = site.point.map.height, site.point.map.width
    expected = np.full((height, width), -2.0)
    expected[1, 2] = 3.0
    assert found.module == site.point.module
    assert found.channel is None
    np.testing.assert_array_equal(found.spatial, expected)
    gate = np.full((height, width), sigmoid(-2))
    gate[1, 2] = sigmoid(3)
    np.testing.assert_allclose(found.gate, gate, rtol=1e-6)
    # The map is multiplied with one plus the gate.
    np.testing.assert_allclose(found.after, found.before * (1 + gate), rtol=1e-5)


def test_both_branches_are_combined() -> None:
    network = Unseen().eval()
    site = looking(network, (3, 64, 64), combine="product")[0]
    module = module_at(network, site)
    module.spatial = Known(0, 0)
    channels = site.point.map.num_channels
    weights = torch.linspace(-1, 1, channels)
    module.channel = nn.Sequential(nn.Linear(channels, channels))
    nn.init.zeros_(module.channel[0].weight)
    module.channel[0].bias.data = weights
    found = attend(network, [site], torch.rand(1, 3, 64, 64))[0]
    np.testing.assert_allclose(found.channel, weights)
    expected = np.mean([sigmoid(3 * w) for w in weights.tolist()])
    assert found.gate[0, 0] == pytest.approx(expected, rel=1e-5)


def test_a_gate_that_is_scaled_by_zero_is_none() -> None:
    network = Unseen().eval()
    sites = looking(network, (3, 64, 64), init="identity")
    for found in attend(network, sites, torch.rand(1, 3, 64, 64)):
        assert not found.gate.any()
        np.testing.assert_array_equal(found.after, found.before)


def test_tokens_are_put_on_their_grid() -> None:
    network = VisionTransformer(32, 8, 2, 2, 16, 32).eval()
    placement = Placement(where="block", attention={"branches": "spatial"})
    shape = (3, 32, 32)
    sites = resolve(placement, find_trunk(network, trace(network, shape)))
    insert_sites(network, sites)
    module_at(network, sites[0]).spatial = Known(1, 0)
    found = attend(network, [sites[0]], torch.rand(1, *shape))[0]
    # Patches of 8 make a grid of 4x4; the place is the fifth of it.
    assert found.gate.shape == (4, 4)
    assert found.gate.argmax() == 4


def test_the_network_is_left_as_it_was() -> None:
    network = Unseen().train()
    sites = looking(network, (3, 64, 64))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    hooks = [len(module._forward_pre_hooks) for module in network.modules()]
    attend(network, sites, torch.rand(1, 3, 64, 64))
    assert all(module.training for module in network.modules())
    assert [len(module._forward_pre_hooks) for module in network.modules()] == hooks
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_map_is_laid_over_the_image() -> None:
    """Twice as large, bilinear: three quarters of the nearest, a quarter of the next."""
    found = upsampled(np.array([[0.0, 4.0], [8.0, 12.0]], dtype=np.float32), 4, 4)
    np.testing.assert_allclose(found[0], [0, 1, 3, 4])
    np.testing.assert_allclose(found[:, 0], [0, 2, 6, 8])


def test_an_image_is_squeezed_and_normalised(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, :30] = (255, 0, 0)
    Pillow.fromarray(pixels).save(tmp_path / "wide.png")
    found = open_image(tmp_path / "wide.png", (3, 10, 10))
    np.testing.assert_array_equal(found.original, pixels)
    assert found.pixels.shape == (1, 3, 10, 10)
    assert found.pixels[0, 0, 5, 0] == pytest.approx((1 - 0.485) / 0.229)
    assert found.pixels[0, 2, 5, 0] == pytest.approx(-0.406 / 0.225)
    assert found.pixels[0, 0, 5, 9] == pytest.approx(-0.485 / 0.229)
    grey = open_image(tmp_path / "wide.png", (1, 4, 4), [0.5], [0.5])
    assert grey.pixels[0, 0, 0, 3] == pytest.approx(-1)


def test_images_of_many_kinds(tmp_path: Path) -> None:
    for mode, name in (("RGBA", "a.png"), ("P", "b.gif"), ("L", "c.jpg"), ("CMYK", "d.jpg")):
        Pillow.new(mode, (5, 7)).save(tmp_path / name)
        assert open_image(tmp_path / name, (3, 8, 8)).original.shape == (7, 5, 3)


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (40, 20)).save(tmp_path / "photo.jpg", exif=exif)
    assert open_image(tmp_path / "photo.jpg", (3, 8, 8)).original.shape == (40, 20, 3)


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"broken\.png as an image"):
        open_image(tmp_path / "broken.png", (3, 8, 8))
    with pytest.raises(InputError, match="not an image of one or three channels"):
        open_image(tmp_path / "broken.png", (4, 8, 8))
    network = Unseen().eval()
    placement = Placement(where="block", attention={"module": "extra-block"})
    sites = resolve(placement, find_trunk(network, trace(network, (3, 64, 64))))
    insert_sites(network, sites[:1])
    with pytest.raises(InputError, match="has no gate to show"):
        attend(network, sites[:1], torch.rand(1, 3, 64, 64))
