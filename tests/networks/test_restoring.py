"""A network is measured without a mark, and without a mark taken off."""

import torch
from torch import Tensor, nn

from bamctl import analyze
from bamctl.networks.restoring import left_as_found
from bamctl.surgery.insert import insert
from bamctl.surgery.proof import prove
from bamctl.tracing._running_module import Watch
from bamctl.tracing.trace import trace
from tests.networks import Residual


class HooksItselfOnce(nn.Module):
    """Installs hooks in its first pass, and remembers that it did; takes another one out."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Residual(3, 8, 2), Residual(8, 16, 2)
        self.three = Residual(16, 24, 2)
        self.head = nn.Linear(24, 5)
        self.is_ready = False
        self.kept: list[Tensor] = []
        self.first = self.one.register_forward_pre_hook(lambda *_: None)

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_ready:
            for block in (self.one, self.two, self.three):
                block.register_forward_hook(lambda *called: self.kept.append(called[-1]))
            self.one.register_forward_pre_hook(lambda m, a, b: None, with_kwargs=True)
            self.first.remove()
            self.is_ready = True
        self.kept.clear()
        self.three(self.two(self.one(x)))
        return self.head(self.kept[-1].mean((2, 3)))


def test_a_network_keeps_the_hooks_of_its_first_pass() -> None:
    x = torch.randn(1, 3, 32, 32)
    for measure in (
        lambda model: analyze(model, input_shape=(3, 32, 32)),
        lambda model: insert(model, input_shape=(3, 32, 32)),
    ):
        model = HooksItselfOnce().eval()
        measure(model)
        assert model(x).shape == (1, 5)
        assert len(model.kept) == 3
        assert len(model.one._forward_pre_hooks) == 1
        assert len(model.one._forward_pre_hooks_with_kwargs) == 1


def test_what_its_hooks_collect_is_refined() -> None:
    """Were it collected before, the last module would get no gradient, and the proof fail."""
    model = insert(HooksItselfOnce().eval(), {"where": "block"}, input_shape=(3, 32, 32))
    assert list(model.inserted) == ["one", "two", "three"]
    found = prove(model, (3, 32, 32))
    assert found.num_params_with_gradient == sum(p.numel() for p in model.inserted.parameters())


def test_hooks_of_ours_go_when_the_network_fails_under_the_tracer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with left_as_found(model):
        Watch(model)
        assert model[0]._forward_hooks
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_second_trace_of_such_a_network_is_equal() -> None:
    model = HooksItselfOnce()
    assert trace(model, (3, 32, 32)) == trace(model, (3, 32, 32))
