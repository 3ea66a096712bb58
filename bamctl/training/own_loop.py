"""Training by a loop of one's own, in place of a task, a data set and a recipe."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from accelerate.utils import set_seed
from torch import device as Device
from torch import nn

from bamctl.errors import BamctlError, InputError, check_machine, described, let_through
from bamctl.networks import factories
from bamctl.training.arms import seed_for
from bamctl.training.config import OwnLoop, TrainingConfig
from bamctl.training.watching import Evaluation, Timing, Watcher


def train_own(
    network: nn.Module, config: TrainingConfig, seed: int, device: Device, watcher: Watcher
) -> Timing:
    """Call the user's function with a network, and record what it reports and returns.

    It is called as `function(network, seed=…, steps=…, device=…, report=…)` and returns a number,
    or several by name. `report(step, value)`, which it may call, records such a value on the way.
    PyTorch's, NumPy's and Python's random numbers are seeded, so that arms share them.

    Raises:
        InputError: the function fails, is not trusted, or returns or reports no finite number.
    """
    assert config.loop is not None
    run = _Reported(config.loop, config.recipe.steps, watcher)
    set_seed(seed_for(seed, "loop"))
    started = perf_counter()
    function = factories.function(config.loop.function)
    options = {"seed": seed, "steps": config.recipe.steps, "device": str(device)}
    with _blamed(config.loop.function):
        answer = function(network.to(device), **options, report=run.report)
    run.finish(answer)
    return Timing((perf_counter() - started) / config.recipe.steps, 0)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Turn what the user's code raises into an error of one line."""
    try:
        yield
    except BamctlError:
        raise
    except (Exception, SystemExit) as error:
        let_through(error)
        check_machine(error, f"{name} failed")
        raise InputError(f"{name} failed: {described(error)}") from error


class _Reported:
    """What a loop reports and returns, checked and passed on."""

    def __init__(self, loop: OwnLoop, steps: int, watcher: Watcher) -> None:
        self._loop, self._steps, self._watcher = loop, steps, watcher
        self._step = 0

    def report(self, step: int, value: Any) -> None:
        """Record a value after some steps; the last one is that which the function returns."""
        number = self._number(value, "reported")
        if isinstance(step, bool) or not isinstance(step, int) or step <= self._step:
            raise InputError(
                f"{self._loop.function} reported step {step!r} after step {self._step}; steps are "
                "whole numbers that increase"
            )
        if step < self._steps:
            self._step = step
            self._evaluated(step, number)

    def finish(self, value: Any) -> None:
        """Record the value that the function returned."""
        self._evaluated(self._steps, self._number(value, "returned"))

    def _evaluated(self, step: int, value: float) -> None:
        self._watcher.stepped(step, None)
        self._watcher.evaluated(
            Evaluation(step, images=None, lr=None, train_loss=None, loss=None, value=value)
        )

    def _number(self, value: Any, verb: str) -> float:
        name = self._loop.function
        if isinstance(value, Mapping):
            value = self._chosen(value, verb)
        try:
            number = math.nan if isinstance(value, str | bool | None) else float(value)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"{name} {verb} {value!r:.60}, not a finite number")
        return number

    def _chosen(self, values: Mapping[Any, Any], verb: str) -> Any:
        names = ", ".join(map(str, values))
        metric = self._loop.metric
        if metric is None and len(values) != 1:
            raise InputError(f"{self._loop.function} {verb} {names}; choose one with --metric")
        if metric is not None and metric not in values:
            raise InputError(f"{self._loop.function} {verb} {names}, and no {metric}")
        return next(iter(values.values())) if metric is None else values[metric]
