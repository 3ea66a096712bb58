"""What is said of a network that cannot be traced, and what is not ours to say."""

import functools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bamctl.errors import InputError
from bamctl.tracing.trace import trace


class Raises(nn.Module):
    """Runs a function in its forward pass, the first time or every time."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 1), act

    def forward(self, x: Tensor) -> Tensor:
        self.act()
        return self.conv(x)


class OutOfTimeError(Exception):
    pass


class Timer:
    """A signal handler as an object."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __call__(self, *_: object) -> None:
        raise self.error("the caller's")

    def bound(self, *_: object) -> None:
        self._fail()

    def _fail(self) -> None:
        raise self.error("the caller's")


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize("error", [OutOfTimeError, TimeoutError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize(
    "handler",
    [
        Timer,
        lambda error: Timer(error).bound,
        lambda error: functools.partial(Timer(error).bound, 1),
        lambda error: lambda number, frame: Timer(error)(),
    ],
    ids=["object", "method", "partial", "function"],
)
def test_what_a_signal_handler_raises_goes_through(
    error: type[BaseException], handler: Callable
) -> None:
    signal.signal(signal.SIGUSR1, handler(error))
    model = Raises(lambda: signal.raise_signal(signal.SIGUSR1))
    with pytest.raises(error, match="the caller's"):
        trace(model, (3, 8, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.usefixtures("_own_handlers")
def test_also_where_the_network_makes_another_error_of_it() -> None:
    def act() -> None:
        try:
            signal.raise_signal(signal.SIGUSR1)
        except OutOfTimeError:
            raise RuntimeError("in the network's words")  # noqa: B904 - as networks do

    signal.signal(signal.SIGUSR1, Timer(OutOfTimeError))
    with pytest.raises(RuntimeError, match="in the network's words"):
        trace(Raises(act), (3, 8, 8))


@pytest.mark.usefixtures("_own_handlers")
def test_also_while_the_reason_is_looked_for() -> None:
    calls = []

    def act() -> None:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGUSR1)
        raise ValueError("the network's own")

    signal.signal(signal.SIGUSR1, Timer(OutOfTimeError))
    with pytest.raises(OutOfTimeError):
        trace(Raises(act), (3, 8, 8))


class Cancelled(BaseException):
    """As `asyncio.CancelledError`."""


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_what_is_no_exception_goes_through() -> None:
    with pytest.raises(Cancelled):
        trace(Raises(raises(Cancelled())), (3, 8, 8))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (raises(SystemExit(3)), "SystemExit: 3"),
        (raises(ValueError()), "ValueError"),
        (raises(AssertionError()), "AssertionError"),
        (raises(KeyError("layer9")), "KeyError: 'layer9'"),
        (raises(TimeoutError("its own")), "its own"),
    ],
)
def test_what_the_network_raises_is_said(act: Callable[[], None], said: str) -> None:
    with pytest.raises(InputError) as error:
        trace(Raises(act), (3, 8, 8))
    expected = f"Raises cannot run on a 3x8x8 input: {said}; try another --input"
    assert str(error.value) == expected


@dataclass
class Output:
    logits: Tensor
    maps: list[Tensor]
    loss: None = None


@pytest.mark.parametrize("make", [Output, lambda *a: SimpleNamespace(logits=a[0], maps=a[1])])
def test_a_network_may_return_a_plain_object(make: Callable) -> None:
    class Answers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = Inner(), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> object:
            found = self.inner(x)
            return make(self.head(found.map.mean((2, 3))), [found.map])

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> object:
            return SimpleNamespace(map=self.conv(x))

    found = trace(Answers(), (3, 8, 8))
    assert [found.shapes[value] for value in found.outputs] == [(1, 5), (1, 4, 8, 8)]
    inner = next(call for call in found.calls if call.module == "inner")
    assert (inner.item, found.shapes[inner.output]) == ("map", (1, 4, 8, 8))


def test_a_network_without_tensors_in_its_result_is_refused() -> None:
    class Counts(nn.Module):
        def forward(self, x: Tensor) -> int:
            return int(torch.relu(x).sum())

    with pytest.raises(InputError, match="Counts runs, but cannot be traced"):
        trace(Counts(), (3, 8, 8))
