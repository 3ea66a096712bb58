"""torchvision's builders, found without importing it and built as their weights expect."""

import pytest
import torch
import torchvision

from bamctl.errors import InputError
from bamctl.networks import models, trust
from bamctl.networks.inputs import read


def test_names_are_torchvision_s() -> None:
    expected = torchvision.models.list_models()
    assert list(models.names()) == sorted(expected)


def test_names_do_not_import_torchvision(python: object) -> None:
    program = (
        "import sys; from bamctl.networks.models import names; names(); print(sorted(sys.modules))"
    )
    loaded = python(program).stdout
    assert "'bamctl'" in loaded
    assert "'torchvision'" not in loaded
    assert "'torch'" not in loaded


@pytest.mark.parametrize(
    ("name", "side"), [("resnet50", 224), ("inception_v3", 299), ("efficientnet_b7", 600)]
)
def test_default_input_is_what_the_weights_expect(name: str, side: int) -> None:
    assert models.default_inputs(name) == read((3, side, side))


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "densenet121"])
def test_small_stem_keeps_the_resolution(name: str) -> None:
    model = models.build(name, num_classes=10, stem="small").eval()
    sizes = []
    pool = "features.pool0" if name == "densenet121" else "maxpool"
    model.get_submodule(pool).register_forward_hook(lambda *a: sizes.append(a[2].shape))
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    assert tuple(sizes[0]) == (1, 64, 32, 32)


def test_small_stem_is_refused_elsewhere() -> None:
    with pytest.raises(InputError, match="vgg11 has no small stem"):
        models.build("vgg11", stem="small", initialize=False)


@pytest.mark.parametrize("name", ["resnet18", "regnet_y_400mf", "swin_t"])
def test_uninitialized_networks_have_the_same_shapes(name: str) -> None:
    plain, empty = models.build(name), models.build(name, initialize=False)
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in empty.state_dict().items()
    }
    assert {p.device.type for p in empty.parameters()} == {"cpu"}


def test_vision_transformers_are_built_for_the_input() -> None:
    model = models.build("vit_b_32", inputs=(3, 96, 96), num_classes=7).eval()
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet5O"}, r"unknown model 'resnet5O' \(did you mean 'resnet50'\?\)"),
        ({"name": "teapot"}, "`bamctl models` lists them"),
        ({"name": "vit_b_16", "inputs": (3, 224, 192)}, "takes square images only"),
        ({"name": "vit_b_16", "inputs": (3, 100, 100)}, "cannot build"),
        ({"name": "resnet18", "weights": "IMAGENET1K_V9"}, "did you mean 'IMAGENET1K_V1'"),
        ({"name": "resnet18", "weights": "DEFAULT", "num_classes": 10}, "has 1000 classes"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        models.build(**options)


def test_published_weights_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loading code, with a file made here in place of the download."""
    made = torchvision.models.resnet18().state_dict()
    asked = []

    def load(url: str, *arguments: object, **options: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        return made

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)
    model = models.build("resnet18", weights="IMAGENET1K_V1", initialize=False)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in made.items())
    assert asked == [torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "resnet18",
            {"args": {"weights": "DEFAULT"}},
            "weights is not an argument .* use --weights",
        ),
        ("timm:resnet18", {"args": {"pretrained": True}}, "pretrained .* use --weights"),
        ("resnet18", {"args": {"name": "x"}}, "name is not an argument of resnet18"),
        ("timm:resnet18", {"args": {"model_name": "x"}}, "model_name is not an argument"),
        ("resnet18", {"args": {"num_classes": 3}, "num_classes": 5}, "num_classes is given twice"),
        ("resnet18", {"args": {"stem": "x"}}, "unexpected keyword argument 'stem'"),
    ],
)
def test_an_argument_that_is_given_in_another_way_is_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        models.build(name, **options)


def test_an_argument_of_a_factory_may_have_any_name() -> None:
    trust.trust("torchvision.models:get_model")
    built = models.build("torchvision.models:get_model", args={"name": "resnet18"})
    assert type(built).__name__ == "ResNet"
    with pytest.raises(InputError, match="num_classes is given twice"):
        models.build("torchvision.models:resnet18", num_classes=5, args={"num_classes": 3})
