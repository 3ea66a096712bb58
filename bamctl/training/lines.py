"""Schemas of the JSON lines in a run folder."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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
