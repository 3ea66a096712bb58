"""Every guarantee of an insertion, on eleven families of networks."""

import copy
import io
import pickle
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter

from bamctl import BAM, Placement, analyze, insert, remove
from bamctl.errors import InputError
from bamctl.export._program import OLDEST_TORCH, is_too_old
from bamctl.surgery.insertion import insert_and_prove
from bamctl.weights import checkpoints
from tests.export.test_export import FAMILIES as EXPORTED
from tests.networks import ChannelsLastTrunk, Residual, Reused, Unseen

FAMILIES = {
    "resnet18": 64,
    "densenet121": 64,
    "mobilenet_v3_small": 64,
    "squeezenet1_1": 64,
    "vgg11": 64,
    "inception_v3": 96,
    "googlenet": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "swin_t": 64,
    "regnet_y_400mf": 64,
}
# One family after the other, so that what is cached of one is used by all its tests.
family = pytest.mark.parametrize("name", FAMILIES, scope="module")


# The graphs of the others are written to files, and proved, in the tests of exports.
not_exported = pytest.mark.parametrize(
    "name", [each for each in FAMILIES if each not in EXPORTED], scope="module"
)


@lru_cache(maxsize=2)
def _pair(name: str) -> tuple[nn.Module, nn.Module]:
    """A network, and a copy with a shaken BAM at each bottleneck; shared, so not to be changed."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    # Narrow classifiers make AlexNet's heirs small enough to copy and export many times.
    base = torchvision.models.get_model(name, num_classes=10, **options)
    if name == "vgg11":
        base.classifier = nn.Sequential(nn.Flatten(), nn.Linear(512 * 49, 10))
    base.eval()
    shape = (3, FAMILIES[name], FAMILIES[name])
    changed = insert(copy.deepcopy(base), input_shape=shape)
    for buffer in changed.inserted.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    return base, changed


@lru_cache(maxsize=1)
def _program(name: str) -> torch.export.ExportedProgram:
    """The graph of the changed network, exported once for all that becomes of it."""
    return torch.export.export(copy.deepcopy(_pair(name)[1]), (image(name),))


def image(name: str, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, FAMILIES[name], FAMILIES[name])


def inserted_keys(model: nn.Module) -> set[str]:
    return {key for key in model.state_dict() if key.startswith("inserted.")}


@family
def test_the_insertion_changes_the_output(name: str) -> None:
    base, changed = _pair(name)
    x = image(name)
    assert not torch.equal(base(x), changed(x))


@family
def test_every_original_key_and_value_is_kept(name: str) -> None:
    base, changed = _pair(name)
    state = changed.state_dict()
    assert [key for key in state if key not in inserted_keys(changed)] == list(base.state_dict())
    assert all(torch.equal(state[key], tensor) for key, tensor in base.state_dict().items())


@family
def test_the_original_checkpoint_loads_with_only_the_attention_missing(name: str) -> None:
    base, changed = _pair(name)
    result = copy.deepcopy(changed).load_state_dict(base.state_dict(), strict=False)
    # PyTorch fills in the counters of batch norms without calling them missing.
    counters = {key for key in inserted_keys(changed) if key.endswith("num_batches_tracked")}
    assert set(result.missing_keys) | counters == inserted_keys(changed)
    assert result.unexpected_keys == []


@family
def test_remove_restores_keys_values_and_output(name: str) -> None:
    base, changed = _pair(name)
    restored, x = remove(copy.deepcopy(changed)), image(name)
    assert list(restored.state_dict()) == list(base.state_dict())
    assert [n for n, _ in restored.named_modules()] == [n for n, _ in base.named_modules()]
    assert torch.equal(restored(x), base(x))


@family
def test_deepcopy_is_independent(name: str) -> None:
    _, changed = _pair(name)
    copied, x = copy.deepcopy(changed), image(name)
    assert torch.equal(copied(x), changed(x))
    before = changed(x)
    with torch.no_grad():
        for parameter in copied.inserted.parameters():
            parameter.add_(1.0)
    assert not torch.equal(copied(x), before)
    assert torch.equal(changed(x), before)


@family
def test_pickle_and_torch_save(name: str) -> None:
    _, changed = _pair(name)
    x = image(name)
    assert torch.equal(pickle.loads(pickle.dumps(changed))(x), changed(x))
    file = io.BytesIO()
    torch.save(changed, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), changed(x))


@family
def test_compile(name: str) -> None:
    _, changed = _pair(name)
    x = image(name)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(changed), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(x), changed(x), rtol=1e-4, atol=1e-5)


@not_exported
def test_export(name: str) -> None:
    _, changed = _pair(name)
    x = image(name)
    assert torch.allclose(_program(name).module()(x), changed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(is_too_old(), reason=f"needs torch {OLDEST_TORCH}")
@not_exported
def test_onnx(name: str, tmp_path: Path) -> None:
    import onnxruntime

    _, changed = _pair(name)
    x, path = image(name), tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(_program(name), f=path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = changed(x).detach().numpy()
    scale = np.abs(expected).max()
    assert np.abs(result - expected).max() <= 1e-4 * scale


@family
def test_symbolic_trace(name: str) -> None:
    _, changed = _pair(name)
    x = image(name)
    assert torch.equal(torch.fx.symbolic_trace(changed)(x), changed(x))


# The first child of most of these is the whole trunk; the getter runs children one by one, which
# is what these three do up to the child that is named.
LAST_LAYER = {
    "resnet18": "layer3",
    "inception_v3": "Mixed_5d",
    "googlenet": "inception3b",
    "regnet_y_400mf": "trunk_output",
}


@family
def test_intermediate_layer_getter(name: str) -> None:
    _, changed = _pair(name)
    last = LAST_LAYER.get(name, "features")
    getter, x, seen = IntermediateLayerGetter(changed, {last: "out"}), image(name), []
    # A copy, since DenseNet overwrites what its trunk returned.
    hook = changed.get_submodule(last).register_forward_hook(lambda *a: seen.append(a[2].clone()))
    changed(x)
    hook.remove()
    assert torch.equal(getter(x)["out"], seen[0])


@family
def test_trains_with_auxiliary_heads_and_all(name: str) -> None:
    _, changed = _pair(name)
    # Inception's auxiliary heads take no less than its own input; both have them in training.
    model = copy.deepcopy(changed).train()
    side = {"inception_v3": 299, "googlenet": 224}.get(name, FAMILIES[name])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in model.inserted.parameters()} <= held
    outputs = model(torch.randn(2, 3, side, side))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(heads) == {"inception_v3": 2, "googlenet": 3}.get(name, 1)
    before = [parameter.detach().clone() for parameter in model.inserted.parameters()]
    sum(head.square().mean() for head in heads).backward()
    optimizer.step()
    moved = [
        not torch.equal(old, new)
        for old, new in zip(before, model.inserted.parameters(), strict=True)
    ]
    assert any(moved)


@family
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_identity_init_leaves_the_logits_bit_for_bit(name: str, variant: str) -> None:
    base, _ = _pair(name)
    x = image(name)
    attention = {"init": "identity", "variant": variant}
    changed = insert(
        copy.deepcopy(base), Placement(attention=attention), input_shape=tuple(x.shape[1:])
    )
    assert torch.equal(changed(x), base(x))
    output = changed(x).square().sum()
    scales = [module.scale for module in changed.inserted.values()]
    assert all(bool(gradient) for gradient in torch.autograd.grad(output, scales))


@pytest.fixture
def _process_group(tmp_path: Path) -> object:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@family
@pytest.mark.usefixtures("_process_group")
def test_distributed_data_parallel(name: str) -> None:
    _, changed = _pair(name)
    x = image(name)
    model = nn.parallel.DistributedDataParallel(copy.deepcopy(changed))
    output = model(x)
    assert torch.equal(output, changed(x))
    output.square().mean().backward()
    assert all(p.grad is not None for p in model.module.inserted.parameters())


@family
def test_channels_last_is_followed(name: str) -> None:
    base, _ = _pair(name)
    model = copy.deepcopy(base).to(memory_format=torch.channels_last)
    insert(model, input_shape=(3, FAMILIES[name], FAMILIES[name]))
    kernels = [p for p in model.inserted.parameters() if p.dim() == 4 and p.shape[2] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    x = image(name)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    assert torch.allclose(
        model(x.to(memory_format=torch.channels_last)), plain(x), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("training", [False, True])
def test_precision_and_mode_are_followed(dtype: torch.dtype, training: bool) -> None:
    model = insert(Unseen().to(dtype).train(training), input_shape=(3, 32, 32))
    assert {parameter.dtype for parameter in model.inserted.parameters()} == {dtype}
    assert {module.training for module in model.modules()} == {training}
    assert model(torch.randn(2, 3, 32, 32, dtype=dtype)).dtype == dtype


def test_a_network_on_another_device_is_followed() -> None:
    """`meta` is the other device that every machine has; it cannot run, so it is only built."""
    from bamctl.placement.sites import resolve
    from bamctl.surgery.insert import insert_sites
    from bamctl.tracing.trace import trace
    from bamctl.trunk._find import find_trunk

    model = Unseen()
    sites = resolve(Placement(), find_trunk(model, trace(model, (3, 32, 32))))
    insert_sites(model.to("meta"), sites)
    assert {parameter.device.type for parameter in model.inserted.parameters()} == {"meta"}


def test_batch_of_one_and_other_sizes_in_training() -> None:
    model = insert(Unseen(), input_shape=(3, 32, 32)).train()
    for shape in [(1, 3, 32, 32), (2, 3, 40, 24), (1, 3, 16, 64)]:
        assert bool(model(torch.randn(shape)).isfinite().all())


def test_after_the_inductor_compiler() -> None:
    model, x = insert(Unseen().eval(), input_shape=(3, 32, 32)), torch.randn(2, 3, 32, 32)
    torch.compiler.reset()
    with torch.no_grad():
        assert torch.allclose(torch.compile(model)(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_sequential_root_keeps_running_its_layers() -> None:
    model = nn.Sequential(Residual(3), nn.MaxPool2d(2), Residual(3), nn.Flatten())
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    insert(model, Placement(attention={"init": "identity"}), input_shape=(3, 8, 8))
    assert list(model.inserted) == ["0"]
    assert torch.equal(model(x), expected)
    assert list(remove(model).state_dict()) == list(
        nn.Sequential(Residual(3), nn.MaxPool2d(2), Residual(3)).state_dict()
    )


def test_a_channels_last_trunk() -> None:
    model = insert(ChannelsLastTrunk(), input_shape=(3, 32, 32))
    assert isinstance(model.inserted["mix1"], BAM)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 5)


def test_frozen_backbones_get_trainable_attention() -> None:
    model = insert(Unseen().requires_grad_(False), input_shape=(3, 32, 32))
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable
    assert all(name.startswith("inserted.") for name in trainable)


def test_sync_batch_norm_conversion_reaches_the_attention() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(insert(Unseen(), input_shape=(3, 32, 32)))
    assert isinstance(model.inserted["alpha"].channel.norm, nn.SyncBatchNorm)


@pytest.mark.parametrize("again", ["alpha", "alpha.1", "block"])
def test_a_second_insertion_at_one_place_is_refused(again: str) -> None:
    model = insert(Unseen(), Placement(where="alpha"), input_shape=(3, 32, 32))
    keys = list(model.state_dict())
    with pytest.raises(InputError, match="already inserted at 'alpha'"):
        insert(model, Placement(where=again), input_shape=(3, 32, 32))
    assert list(model.state_dict()) == keys


def test_a_second_insertion_at_another_place_is_fine() -> None:
    model = insert(Unseen(), Placement(where="alpha"), input_shape=(3, 32, 32))
    insert(model, Placement(where="delta", attention={"reduction": 4}), input_shape=(3, 32, 32))
    assert list(model.inserted) == ["alpha", "delta"]
    assert model.inserted["delta"].channel.reduce.out_features == 32 // 4
    assert list(remove(model).state_dict()) == list(Unseen().state_dict())


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("twice", "'twice' is called 2 times"),
        ("nothing", "no module 'nothing'"),
        ("head", "'head' does not return one feature map"),
        ("unused", "'unused' is called never"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(where: str, message: str) -> None:
    model = Reused()
    with pytest.raises(InputError, match=message):
        insert(model, Placement(where=where), input_shape=(3, 32, 32))
    assert not hasattr(model, "inserted")


def test_an_attribute_of_the_same_name_is_not_overwritten() -> None:
    model = Unseen()
    model.inserted = nn.Linear(1, 1)
    with pytest.raises(InputError, match="already has an attribute 'inserted'"):
        insert(model, input_shape=(3, 32, 32))


def test_nothing_to_do_is_said() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    with pytest.warns(UserWarning, match="nothing is inserted"):
        insert(model, input_shape=(3, 8, 8))
    with pytest.warns(UserWarning, match="nothing is removed"):
        remove(model)


def test_module_names_that_read_alike_do_not_collide() -> None:
    class Alike(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a_0 = Residual(3)
            self.a = nn.Sequential(Residual(3), Residual(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.a(self.a_0(x))

    model = insert(Alike(), Placement(where=["a_0", "a.0"]), input_shape=(3, 8, 8))
    assert list(model.inserted) == ["a_0", "a_0_2"]


def test_the_result_is_the_same_in_a_fresh_process(tmp_path: Path, forked: object) -> None:
    model, x = insert(torchvision.models.resnet18().eval(), input_shape=(3, 64, 64)), image("vgg11")
    torch.save({"model": model, "x": x, "y": model(x).detach()}, tmp_path / "saved.pt")
    result = forked(
        "import torch; s = torch.load('saved.pt', weights_only=False)\n"
        "assert torch.allclose(s['model'](s['x']), s['y'], atol=1e-5); print('same')"
    )
    assert result.stdout == "same\n", result.stderr


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_a_part_used_alone_sets_the_mode_of_its_attention(name: str) -> None:
    _, changed = _pair(name)
    model, x = copy.deepcopy(changed), image(name)
    expected = model.eval()(x)
    traced = torch.fx.symbolic_trace(model.train())
    # VGG's hosts are layers, which a traced graph calls as they are, hooks and all.
    assert torch.equal(traced.eval()(x), expected)
    if name == "resnet18":
        features = IntermediateLayerGetter(model.eval(), {"layer3": "out"})(x)["out"]
        part = IntermediateLayerGetter(model.train(), {"layer3": "out"}).eval()
        assert torch.equal(part(x)["out"], features)


class Named(nn.Module):
    """Its modules are called like strategies and like globs."""

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck = Residual(3, 8, 2)
        self.block = Residual(8, 16, 2)
        self.mixes = nn.ModuleDict({"a*": Residual(16, 16), "a[1]": Residual(16, 24, 2)})
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.bottleneck(x))
        for mix in self.mixes.values():
            x = mix(x)
        return self.head(x.mean((2, 3)))


def test_modules_may_be_called_like_strategies_and_globs(tmp_path: Path) -> None:
    costs = analyze(Named(), input_shape=(3, 32, 32)).point_costs
    # By hand: 64, 128 and 256 have 1,271, 4,651 and 17,747; 8, 16 and 24 channels at r=16 have
    # 8 + 1 + 8 + 8 + 16 and 8 + 1 + 20 + 2 + 2, and so on.
    assert costs["bottleneck"].params == 41 + 33
    assert costs["block"].params == (16 + 1 + 16 + 16 + 32) + (16 + 1 + 20 + 2 + 2)
    done = insert_and_prove("named", Named(), Placement(where="block"), (3, 32, 32))
    done.placement.save(tmp_path / "p.yaml")
    again = insert(Named(), tmp_path / "p.yaml", input_shape=(3, 32, 32))
    assert len(again.inserted) == len(done.placed.sites) == 4


def test_what_is_inserted_in_a_part_stays_when_the_whole_is_cleared() -> None:
    inner = insert(Unseen(), input_shape=(3, 32, 32)).eval()
    for buffer in inner.inserted.buffers():
        buffer.data = buffer + 1
    outer, x = nn.Sequential(inner).eval(), torch.randn(1, 3, 32, 32)
    expected = inner(x)
    insert(outer, Placement(where="0.delta"), input_shape=(3, 32, 32))
    assert torch.equal(remove(outer)(x), expected)


def test_weights_that_do_not_fit_leave_the_network_as_it_was(tmp_path: Path) -> None:
    wide = insert(Unseen(), Placement(attention={"reduction": 2}), input_shape=(3, 32, 32))
    checkpoints.write(tmp_path / "a.safetensors", wide, Placement(where="bottleneck"))
    model = Unseen()
    keys = list(model.state_dict())
    with pytest.raises(InputError, match="do not fit"):
        insert(model, tmp_path / "a.safetensors", input_shape=(3, 32, 32))
    assert list(model.state_dict()) == keys
    insert(model, input_shape=(3, 32, 32))


def test_a_frozen_network_gets_a_trainable_control() -> None:
    model = Unseen().requires_grad_(False)
    insert(model, {"attention": {"module": "extra-block"}}, input_shape=(3, 32, 32))
    assert all(parameter.requires_grad for parameter in model.inserted.parameters())


def test_a_name_is_no_network() -> None:
    with pytest.raises(InputError, match=r"insert takes an nn\.Module, not 'resnet18'"):
        insert("resnet18")


class Spectral(nn.Module):
    """A global filter in front: complex weights for frequencies, before any real one."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.ones(3, 32, 17, dtype=torch.complex64))
        self.body = Unseen()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.fft.irfft2(torch.fft.rfft2(x) * self.frequencies, s=x.shape[-2:]))


def test_in_a_network_with_complex_weights_attention_is_real() -> None:
    model = insert(Spectral(), {"where": "body.alpha"}, input_shape=(3, 32, 32))
    assert {p.dtype for p in model.inserted.parameters()} == {torch.float32}
    assert model(torch.rand(2, 3, 32, 32)).dtype == torch.float32
