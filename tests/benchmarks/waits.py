"""Waits that were cut: two exported files, many estimated placements, and a deep network.

The first two are measured beside how they were; the third beside as many blocks in networks that
are not deep, which is what it takes if the time of a trace and of a trunk grows linearly.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bamctl import Placement, analyze
from bamctl.budgets.check import check
from bamctl.budgets.figures import _estimator
from bamctl.export.write import WRITERS, Exporter
from bamctl.surgery.insertion import build_and_insert
from tests.benchmarks.depth import network
from tests.benchmarks.ratios import Ratio, in_turn

_PLACEMENTS = 20
_SHALLOW, _DEEP = 100, 1000


def measure(runs: int) -> Iterator[Ratio]:
    """All three."""
    yield _two_files(runs)
    yield _many_placements(runs)
    yield _many_blocks(runs)


def _two_files(runs: int) -> Ratio:
    placement = Placement.from_options({"model": "resnet18", "input": "3x64x64", "where": "layer2"})
    network, insertion = build_and_insert(placement, None, None)
    network.eval()

    def write(exporters: list[Exporter]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for ending, exporter in zip((".pt2", ".onnx"), exporters, strict=True):
                WRITERS[ending](Path(folder, f"network{ending}"), exporter)

    def once() -> None:
        write([Exporter(network, insertion)] * 2)

    def twice() -> None:
        write([Exporter(network, insertion) for _ in range(2)])

    return in_turn("a graph for two files / for each", once, twice, runs, 1.0, warm_ups=1)


def _many_placements(runs: int) -> Ratio:
    limit = {"latency": {"max": "+90 %", "device": "a100", "batch_size": 64}}
    placements = [
        Placement.from_options({"model": "resnet50", "where": "bottleneck", "budget": limit})
        for _ in range(_PLACEMENTS)
    ]

    def together() -> None:
        check(placements)

    def apart() -> None:
        for placement in placements:
            _estimator.cache_clear()
            check(placement)

    name = f"{_PLACEMENTS} placements of one network / each alone"
    return in_turn(name, together, apart, runs, 0.2, warm_ups=0)


def _many_blocks(runs: int) -> Ratio:
    shallow, deep = network(_SHALLOW), network(_DEEP)

    def once() -> None:
        analyze(deep, input_shape=(3, 16, 16))

    def repeatedly() -> None:
        for _ in range(_DEEP // _SHALLOW):
            analyze(shallow, input_shape=(3, 16, 16))

    return in_turn(f"{_DEEP:,} blocks / {_SHALLOW} at a time", once, repeatedly, runs, 1.5)
