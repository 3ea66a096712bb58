"""Schemas of the JSON lines in a run folder."""

from math import isfinite
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Numbers of an evaluation that are no measure of it.
_NO_MEASURES = ("images", "lr")

_Fraction = Annotated[float, Field(ge=0, le=1)]


class Line(BaseModel):
    """Base of the lines: extra keys are allowed; numbers must be finite and of their type."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class EvaluationLine(Line):
    """A line of `metrics.jsonl`; a task that does not classify has a measure of its own."""

    arm: str
    seed: int
    step: int
    accuracy: _Fraction | None = None
    diverged: bool
    loss: float | None = None
    train_loss: float | None = None
    test_accuracy: _Fraction | None = None

    @model_validator(mode="after")
    def _has_a_measure(self) -> "EvaluationLine":
        others = {k: v for k, v in (self.model_extra or {}).items() if k not in _NO_MEASURES}
        if self.accuracy is None and not any(map(_is_number, others.values())):
            raise ValueError("no measure")
        return self


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


class TimingLine(Line):
    """A line of `timing.jsonl`."""

    arm: str
    seed: int
    seconds_per_step: float
    peak_memory_bytes: int


class ConfirmationLine(Line):
    """A line of `confirmation.jsonl`."""

    codes: list[int]
    seed: int
    accuracy: _Fraction
