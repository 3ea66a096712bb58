"""`Recipe`: the hyperparameters of training."""

from math import cos, pi
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Schedule = Literal["cosine", "step"]
Precision = Literal["no", "bf16", "fp16"]
Optimizer = Literal["sgd", "adamw"]

_Count = Annotated[int, Field(ge=1, strict=True)]
_CountOrNone = Annotated[int, Field(ge=0, strict=True)]
# Beyond any practical value, and far below the largest fp32 number.
_LARGEST = 1e6
_Rate = Annotated[float, Field(gt=0, lt=_LARGEST, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """The hyperparameters of training; the optimizer is SGD with momentum, or AdamW.

    The defaults of momentum and weight decay, and a learning rate of 0.1 for a batch of 256, are
    those of the authors' released code for ImageNet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: _Count = Field(description="optimizer steps")
    batch_size: _Count = Field(default=64, description="samples per step, over all devices")
    lr: _Rate = Field(description="learning rate")
    optimizer: Optimizer = Field(default="sgd", description="SGD with momentum, or AdamW")
    momentum: _Fraction = Field(default=0.9, description="of SGD")
    weight_decay: Annotated[float, Field(ge=0, lt=_LARGEST, allow_inf_nan=False)] = 1e-4
    schedule: Schedule = Field(
        default="cosine",
        description="cosine decay to zero, or a tenth after each third of the steps",
    )
    warmup_steps: _CountOrNone = Field(default=0, description="steps of linear warm-up")
    label_smoothing: _Fraction = 0.0
    clip_norm: _Rate | None = Field(
        default=None, description="the norm that longer gradients are scaled to"
    )
    accumulate: _Count = Field(default=1, description="gradient accumulation: parts of a batch")
    precision: Precision = Field(default="no", description="mixed precision")
    eval_every: _Count = Field(description="steps between evaluations")
    freeze_backbone_steps: _CountOrNone = Field(
        default=0, description="steps that train only what the weights or the trunk do not have"
    )

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        >>> recipe = Recipe(steps=90, lr=0.1, schedule="step", eval_every=90)
        >>> [round(recipe.lr_at(step), 6) for step in (0, 29, 30, 60, 89)]
        [0.1, 0.1, 0.01, 0.001, 0.001]
        """
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.schedule == "step":
            return float(self.lr * 0.1 ** (3 * step // self.steps))
        done = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.lr * (1 + cos(pi * done)) / 2
