"""Plots of learning curves: the mean over the seeds, and each seed's curve in the background."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bamctl.files.atomic import atomic_path
from bamctl.training.measure import Measure

# A colour-blind-safe palette (Okabe and Ito 2008).
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
FORMATS = ("png", "svg")


def draw(
    lines: Iterable[Mapping[str, Any]],
    means: Mapping[str, Mapping[int, float]],
    measure: Measure,
    folder: Path,
) -> tuple[Path, ...]:
    """Write `curves.png` and `curves.svg`.

    Args:
        lines: the evaluations, as in `metrics.jsonl`.
        means: the mean by step, by arm.
        measure: what the values are.
        folder: the folder to write to.

    Raises:
        InputError: a file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    runs: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    for line in lines:
        runs[line["arm"], line["seed"]].append((line["step"], line[measure.name]))
    colours = {arm: _COLOURS[i % len(_COLOURS)] for i, arm in enumerate(means)}
    for (arm, _), points in runs.items():
        if arm in colours:
            axes.plot(*zip(*points, strict=True), color=colours[arm], alpha=0.25, linewidth=0.8)
    for arm, curve in means.items():
        axes.plot(
            list(curve),
            list(curve.values()),
            color=colours[arm],
            linewidth=2,
            marker="o",
            label=arm,
        )
    axes.set_xlabel("step")
    unit = f", {measure.unit}" if measure.unit and not measure.is_share else ""
    axes.set_ylabel(f"held-out {measure.title}{unit}")
    if measure.is_share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend()
    paths = tuple(folder / f"curves.{kind}" for kind in FORMATS)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150)
    return paths


def sparkline(values: Iterable[float], low: float = 0.0, high: float = 1.0) -> str:
    """Return a one-line plot of block characters, for values from `low` to `high`.

    >>> sparkline([0.1, 0.5, 0.99])
    '▁▅█'
    """
    bars = "▁▂▃▄▅▆▇█"
    span = max(high - low, 1e-9)
    heights = (int((value - low) / span * len(bars)) for value in values)
    return "".join(bars[min(height, len(bars) - 1)] for height in heights)
