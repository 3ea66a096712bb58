"""`Measure`: a measure of a trained network on the held-out samples."""

from dataclasses import dataclass

from bamctl import units

# The name of the measure that counts samples, each right or wrong.
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Measure:
    """A measure of a trained network.

    Attributes:
        name: the key in JSON and in `metrics.jsonl`; ends with its unit unless it is a fraction.
        title: the name for users.
        unit: the unit of differences, after a number; that of values, too, unless `is_share`.
        is_share: whether values are fractions, which are shown in percent.
        lower_is_better: whether a smaller value is a better one.
    """

    name: str
    title: str
    unit: str = "points"
    is_share: bool = True
    lower_is_better: bool = False

    @property
    def scale(self) -> int:
        """Units of differences per unit of values: percentage points of a fraction, or one."""
        return 100 if self.is_share else 1

    @property
    def heading(self) -> str:
        """The heading of a column of differences."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def capitalized(self) -> str:
        """The title at the beginning of a sentence."""
        return self.title[:1].upper() + self.title[1:]

    def text(self, value: float) -> str:
        """Return a value with its unit.

        >>> Measure("accuracy", "accuracy").text(0.98765)
        '98.77 %'
        >>> Measure("end_point_error_px", "end-point error", "px", is_share=False).text(1.5)
        '1.5 px'
        """
        return units.share(value) if self.is_share else f"{value:.4g} {self.unit}".rstrip()

    def number(self, value: float) -> str:
        """Return a difference without its unit."""
        return f"{100 * value:.2f}" if self.is_share else f"{value:.3g}"

    def difference(self, value: float) -> str:
        """Return the size of a difference with its unit.

        >>> Measure("accuracy", "accuracy").difference(0.0123)
        '1.23 points'
        """
        return f"{self.number(value)} {self.unit}".rstrip()

    def signed(self, value: float) -> str:
        """Return a difference with its sign, for a column that names the unit.

        A sum of differences that cancel is not exactly zero.

        >>> Measure("loss", "loss", "", is_share=False).signed(0.1 + 0.2 - 0.3)
        '+0'
        """
        return f"{100 * value:+.2f}" if self.is_share else f"{round(value, 12):+.3g}"

    def interval(self, interval: tuple[float, float] | None) -> str:
        """Return the interval of a difference; an empty string without one."""
        return "" if interval is None else " to ".join(map(self.signed, interval))

    def goodness(self, value: float) -> float:
        """Return the value, or its negative if lower is better; also the inverse of itself."""
        return -value if self.lower_is_better else value
