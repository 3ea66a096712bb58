"""Networks that are wrapped, compiled or converted before something is inserted, and optimizers."""

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from bamctl import analyze, fuse, insert, remove
from bamctl.errors import InputError
from tests.networks import Unseen

SHAPE = (3, 32, 32)
IMAGE = torch.zeros(1, *SHAPE)


@pytest.fixture
def _process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def sharded(model: nn.Module) -> nn.Module:
    mesh = torch.distributed.init_device_mesh("cpu", (1,))
    return fully_shard(model, mesh=mesh)


def scripted(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, IMAGE)


def exported(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (IMAGE,)).module()


KINDS: dict[str, tuple[Callable, str]] = {
    "ddp": (nn.parallel.DistributedDataParallel, r"DistributedDataParallel.* \(\.module\)"),
    "dp": (nn.DataParallel, r"DataParallel.* \(\.module\), and use DistributedDataParallel"),
    "fsdp": (sharded, "sharded"),
    "compiled": (lambda m: torch.compile(m, backend="eager"), r"is compiled.* \(\._orig_mod\)"),
    "in place": (compiled_in_place, r"model\.compile\(\)"),
    "scripted": (scripted, r"TorchScript.* before torch\.jit"),
    "exported": (exported, r"torch\.export.* before it is exported"),
}


@pytest.mark.usefixtures("_process_group")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_network_is_refused(kind: str) -> None:
    wrap, message = KINDS[kind]
    model = wrap(Unseen().eval())
    keys = list(model.state_dict())
    for verb, change in (
        ("insert into", lambda: insert(model, input_shape=SHAPE)),
        ("remove from", lambda: remove(model)),
        ("fuse", lambda: fuse(model, SHAPE)),
    ):
        with pytest.raises(InputError, match=message) as error:
            change()
        assert re.search(rf"; {verb} the (wrapped |original )?network\b", str(error.value))
        assert "\n" not in str(error.value)
    assert list(model.state_dict()) == keys


@pytest.mark.usefixtures("_process_group")
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_analysed_or_refused_in_a_line(kind: str) -> None:
    model = KINDS[kind][0](Unseen().eval())
    if kind in ("ddp", "dp"):
        found = analyze(model, input_shape=SHAPE).strategies["bottleneck"].modules
        assert found == ["module.alpha", "module.beta.1"]
    else:
        with pytest.raises(InputError, match=r"; analyse the (original )?network\b"):
            analyze(model, input_shape=SHAPE)


class Holding(nn.Module):
    """A network in which a part is wrapped."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


@pytest.mark.usefixtures("_process_group")
def test_a_part_that_is_wrapped_is_refused_by_its_name() -> None:
    model = Holding(nn.parallel.DistributedDataParallel(Unseen()))
    with pytest.raises(InputError, match="module 'part' is wrapped in DistributedDataParallel"):
        insert(model, input_shape=SHAPE)
    assert not hasattr(model, "inserted")


def test_the_blocks_of_an_fx_graph_are_no_modules() -> None:
    graph = torch.fx.symbolic_trace(Unseen().eval())
    with pytest.raises(InputError, match=r"graph of torch\.fx, whose blocks are no longer modules"):
        insert(graph, input_shape=SHAPE)
    # Its layers are, and can be named; the graph calls them with their hooks.
    plain, named = graph(IMAGE), insert(graph, {"where": "entry"}, input_shape=SHAPE)
    assert list(named.inserted) == ["entry"]
    assert not torch.equal(named(IMAGE), plain)
    # What was inserted before is part of the graph.
    before = insert(Unseen().eval(), input_shape=SHAPE)
    assert torch.equal(torch.fx.symbolic_trace(before)(IMAGE), before(IMAGE))


def test_what_was_wrapped_and_is_plain_again_is_fine() -> None:
    compiled = torch.compile(Unseen(), backend="eager")
    assert list(insert(compiled._orig_mod, input_shape=SHAPE).inserted) == ["alpha", "beta_1"]


OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=1e-4),
    "named": lambda m: torch.optim.AdamW(m.named_parameters(), 0.01),
    "groups": lambda m: torch.optim.Adam(
        [
            {"params": list(m.head.parameters()), "lr": 0.5},
            {"params": [p for n, p in m.named_parameters() if not n.startswith("head")]},
        ],
        lr=0.1,
    ),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_that_exists_gets_the_new_parameters(kind: str) -> None:
    model = Unseen()
    optimizer = OPTIMIZERS[kind](model)
    first, count = optimizer.param_groups[0], len(optimizer.param_groups)
    settings = {key: first[key] for key in first if not key.startswith("param")}
    insert(model, {"where": "alpha"}, input_shape=SHAPE, optimizers=optimizer)
    insert(model, {"where": "delta"}, input_shape=SHAPE, optimizers=[optimizer])
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in held} == {id(p) for p in model.parameters()}
    assert len(held) == len(list(model.parameters()))
    for group, key in zip(optimizer.param_groups[count:], ("alpha", "delta"), strict=True):
        own = list(model.inserted[key].parameters())
        assert [id(p) for p in group["params"]] == [id(p) for p in own]
        assert {name: group[name] for name in settings} == settings
    before = [p.detach().clone() for p in model.inserted["alpha"].parameters()]
    model.train()(torch.randn(2, *SHAPE)).square().mean().backward()
    optimizer.step()
    moved = zip(before, model.inserted["alpha"].parameters(), strict=True)
    assert not all(torch.equal(old, new) for old, new in moved)


def test_what_is_no_optimizer_is_refused_before_anything_happens() -> None:
    model = Unseen()
    with pytest.raises(InputError, match="PyTorch's optimizers, not a str"):
        insert(model, input_shape=SHAPE, optimizers=["adam"])
    assert not hasattr(model, "inserted")


def test_a_program_is_no_network() -> None:
    with pytest.raises(InputError, match=r"insert takes an nn\.Module, not ExportedProgram"):
        insert(torch.export.export(Unseen().eval(), (IMAGE,)), input_shape=SHAPE)


@pytest.mark.parametrize("convert", [torch.jit.script, scripted])
def test_a_part_in_torchscript_is_named(convert: Callable) -> None:
    part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    model = nn.Sequential(nn.Conv2d(3, 3, 1), convert(part))
    with pytest.raises(InputError, match=r"module '1' is TorchScript.*before torch\.jit"):
        analyze(model, input_shape=SHAPE)
