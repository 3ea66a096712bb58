"""One training run; Accelerate handles devices, processes, precision and accumulation."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.errors import BamctlError, InputError
from bamctl.networks.inserted import HOLDER
from bamctl.networks.memory import PeakMemory
from bamctl.training._errors import actionable
from bamctl.training._optimizer import optimizer_for
from bamctl.training._reading import Reader
from bamctl.training._state import MODEL, State, flattened, unflattened, with_prefix
from bamctl.training._statistics import quicken_statistics
from bamctl.training._synchronized import synchronize
from bamctl.training.arms import seed_for
from bamctl.training.config import TrainingConfig
from bamctl.training.tasks.task import Scores
from bamctl.training.tasks.tasks import task_named
from bamctl.training.watching import Evaluation, Timing, Watcher

# Steps between reads of the loss, each of which synchronizes the device.
_LOOK_EVERY = 10

_OPTIMIZER = "optimizer/"


@dataclass
class _Meter:
    """Sums since the last evaluation."""

    loss: Tensor
    steps: int = 0
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0


class Run:
    """A training run of one network.

    Args:
        network: the network to train, in place; it is moved to the device.
        data: training, held-out and test images.
        config: the recipe, and the options of reading images.
        seed: the seed of data order, augmentation and dropout.
        accelerator: one for all runs, by `devices.accelerator_for`.
        pretrained: names of the parameters frozen during the first `freeze_backbone_steps` of this
            run.
        trunk: the state of the baseline's run from which this one parts; its weights are in the
            network already.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        config: TrainingConfig,
        seed: int,
        accelerator: Accelerator,
        pretrained: frozenset[str] = frozenset(),
        trunk: State | None = None,
    ) -> None:
        self.network = network
        self._data, self._config, self._seed = data, config, seed
        self._accelerator, self._pretrained = accelerator, pretrained
        self._task = task_named(config.task)
        self._reader = Reader(data, config, seed, accelerator)
        if config.weights is None:
            quicken_statistics(network, config.recipe.steps)
        if accelerator.num_processes > 1:
            synchronize(network, accelerator.device)
        network.to(accelerator.device)
        optimizer = optimizer_for(network, config.recipe)
        self._model, self._optimizer = accelerator.prepare(network, optimizer)
        self._step = 0
        self._meter = _Meter(torch.zeros((), device=accelerator.device))
        if trunk is not None:
            self._part_from(trunk)
        self._first = self._step

    @property
    def step(self) -> int:
        """The number of completed steps."""
        return self._step

    def _part_from(self, trunk: State) -> None:
        """Continue the optimizer of a trunk; parameters that it does not have start afresh."""
        index = {name: i for i, (name, _) in enumerate(self.network.named_parameters())}
        shapes = {name: each.shape for name, each in self.network.named_parameters()}
        kept = unflattened(with_prefix(trunk.tensors, _OPTIMIZER))
        # The optimizer updates its state in place, and other arms part from the same trunk.
        common = {
            index[name]: {key: each.clone() for key, each in kept[i].items()}
            for i, name in enumerate(trunk.values["parameters"])
            if i in kept and all(each.shape in (shapes.get(name), ()) for each in kept[i].values())
        }
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": common, "param_groups": groups})
        self._step = trunk.values["step"]
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(trunk.values["scaler"])

    def restore(self, state: State) -> None:
        """Resume from a state."""
        kept = with_prefix(state.tensors, _OPTIMIZER)
        self.network.load_state_dict(with_prefix(state.tensors, MODEL))
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": unflattened(kept), "param_groups": groups})
        values = state.values
        self._step = values["step"]
        self._meter.loss.copy_(state.tensors["loss"])
        self._meter.steps, self._meter.seconds = values["steps"], values["seconds"]
        self._meter.peak_bytes = values["peak_bytes"]
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(values["scaler"])

    def state(self) -> State:
        """Return the state from which this run can be resumed."""
        tensors = {MODEL + k: v for k, v in self.network.state_dict().items()}
        kept = flattened(self._optimizer.state_dict())
        tensors |= {_OPTIMIZER + k: v for k, v in kept.items()}
        scaler = self._accelerator.scaler
        values = {
            "step": self._step,
            "steps": self._meter.steps,
            "seconds": self._meter.seconds,
            "peak_bytes": self._meter.peak_bytes,
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        values["parameters"] = [name for name, _ in self.network.named_parameters()]
        return State({**tensors, "loss": self._meter.loss}, values)

    def train_trunk(self, steps: int, watcher: Watcher) -> State:
        """Run up to a number of steps without evaluations, and return the state after them.

        Raises:
            InputError: as for `train`.
            BamctlError: the loss diverged, or a batch does not fit in memory.
        """
        for batches in self._reader.training(range(self._step, steps), watcher):
            self._try_step(batches)
            is_due = self._step % self._config.recipe.eval_every == 0
            looked = self._mean_loss() if is_due or self._step == steps else None
            if looked is not None and not math.isfinite(looked):
                raise BamctlError(
                    f"the trunk of seed {self._seed} diverged by step {self._step}; try a smaller "
                    "learning rate"
                )
            watcher.stepped(self._step, looked)
            if is_due and self._step < steps:
                watcher.keep(self._step, self.state)
        return self.state()

    def train(self, watcher: Watcher) -> Timing:
        """Run the remaining steps.

        Raises:
            InputError: an image cannot be read and is not to be skipped, or the network cannot be
                trained on such batches.
            BamctlError: a batch does not fit in memory.
        """
        recipe = self._config.recipe
        started = perf_counter()
        diverged = False
        for batches in self._reader.training(range(self._step, recipe.steps), watcher):
            self._try_step(batches)
            is_due = self._step % recipe.eval_every == 0 or self._step == recipe.steps
            looked = None
            if is_due or self._step % _LOOK_EVERY == 0:
                looked = self._mean_loss()
                diverged = not math.isfinite(looked)
            watcher.stepped(self._step, looked)
            if not is_due and not diverged:
                continue
            self._meter.seconds.append((perf_counter() - started) / max(self._meter.steps, 1))
            watcher.evaluated(self._evaluation(looked, diverged, watcher))
            self._meter.loss.zero_()
            self._meter.steps = 0
            if diverged:
                break
            # The final weights are written next.
            if self._step < recipe.steps:
                watcher.keep(self._step, self.state)
            started = perf_counter()
        return Timing(median(self._meter.seconds), self._meter.peak_bytes)

    @contextmanager
    def _memory_measured(self) -> Iterator[None]:
        """Measure the peak memory of one step: the second, once the optimizer state exists."""
        if self._step != min(self._first + 1, self._config.recipe.steps - 1):
            yield
        elif self._accelerator.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._accelerator.device)
            yield
            self._meter.peak_bytes = torch.cuda.max_memory_allocated(self._accelerator.device)
        else:
            kept = flattened(self._optimizer.state_dict()).values()
            network = self.network
            with PeakMemory([*network.parameters(), *network.buffers(), *kept]) as measured:
                yield
            self._meter.peak_bytes = measured.peak_bytes

    def _try_step(self, batches: list[Batch]) -> None:
        """Run one optimizer step; turn a failure of the first one into an actionable error."""
        with (
            actionable(self._config.recipe.batch_size, is_first=self._step == self._first),
            self._memory_measured(),
        ):
            self._take_step(batches)

    def _take_step(self, batches: list[Batch]) -> None:
        recipe, accelerator = self._config.recipe, self._accelerator
        # Dropout must not depend on numbers drawn before an interruption, or by other arms.
        set_seed(seed_for(self._seed, "step", self._step, accelerator.process_index))
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.lr_at(self._step)
        resting = 0 <= self._step - self._config.trunk_steps < recipe.freeze_backbone_steps
        self._model.train()
        with self._backbone_at_rest() if resting else nullcontext():
            for batch in batches:
                with accelerator.accumulate(self._model):
                    loss = self._loss(batch)
                    if not loss.requires_grad:
                        raise InputError(
                            "the network cannot be trained: its scores have no gradient"
                        )
                    accelerator.backward(loss)
                    if resting:
                        self._forget_gradients()
                    if recipe.clip_norm is not None and accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(self._model.parameters(), recipe.clip_norm)
                    self._optimizer.step()
                    self._optimizer.zero_grad()
                self._meter.loss += loss.detach() / len(batches)
        self._step += 1
        self._meter.steps += 1

    def _loss(self, batch: Batch) -> Tensor:
        batch = self._reader.on_device(batch)
        with self._accelerator.autocast():
            return self._task.loss(self._model, batch, self._data, self._config.recipe)

    @contextmanager
    def _backbone_at_rest(self) -> Iterator[None]:
        """Freeze the statistics of the backbone's batch norms in this block."""
        for name, layer in self.network.named_modules():
            is_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
            if is_norm and not name.startswith(f"{HOLDER}."):
                layer.eval()
        yield

    def _forget_gradients(self) -> None:
        """Drop pretrained parameters' gradients, so that no update or weight decay applies."""
        for name, parameter in self.network.named_parameters():
            if name in self._pretrained:
                parameter.grad = None

    def _mean_loss(self) -> float:
        mean = self._accelerator.reduce(self._meter.loss.clone(), "mean")
        return float(mean) / max(self._meter.steps, 1)

    def _evaluation(self, train_loss: float | None, diverged: bool, watcher: Watcher) -> Evaluation:
        recipe, data = self._config.recipe, self._data
        scores = self._judged(data.held_out, watcher)
        last = diverged or self._step == recipe.steps
        test = data.test if last else None
        return Evaluation(
            step=self._step,
            images=self._step * recipe.batch_size,
            lr=recipe.lr_at(self._step - 1),
            train_loss=finite(train_loss),
            loss=finite(scores.loss),
            value=self._task.guess(data.held_out, data) if diverged else scores.value,
            diverged=diverged,
            test_value=None if test is None else self._judged(test, watcher).value,
        )

    def _judged(self, images: Images, watcher: Watcher) -> Scores:
        """Return the scores of the readable samples."""
        # In eval mode processes exchange nothing, so the unwrapped network suffices.
        self.network.eval()
        batches = self._reader.evaluation(images, watcher)
        with torch.no_grad():
            return self._task.evaluate(self.network, batches, self._data, self._accelerator)


def finite(value: float | None) -> float | None:
    """Return a number, or None if it is infinite or NaN."""
    return value if value is not None and math.isfinite(value) else None
