"""What is kept for the backward pass, by hand, and the most at any moment."""

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from bamctl.networks.memory import PeakMemory, kept_for_backward, on_meta


def test_what_each_layer_keeps() -> None:
    # A sigmoid keeps its output; a linear layer its input, which is the caller's own if first.
    # Then there is the result, which is for the next layer to keep.
    assert kept_for_backward(on_meta(nn.Linear(10, 20)), (10,)) == 20 * 4
    layers = on_meta(nn.Sequential(nn.Linear(10, 20), nn.Sigmoid()))
    assert kept_for_backward(layers, (10,)) == 20 * 4
    # The second linear layer keeps the very tensor that the sigmoid keeps: it counts once.
    layers = on_meta(nn.Sequential(nn.Linear(10, 20), nn.Sigmoid(), nn.Linear(20, 7)))
    assert kept_for_backward(layers, (10,)) == (20 + 7) * 4
    assert kept_for_backward(layers.double(), (10,)) == (20 + 7) * 8


def test_the_copy_has_shapes_and_shares_no_weights() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    copy = on_meta(model)
    assert {tensor.device.type for tensor in copy.state_dict().values()} == {"meta"}
    assert {k: t.shape for k, t in copy.state_dict().items()} == {
        k: t.shape for k, t in model.state_dict().items()
    }
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
    assert torch.isfinite(model(torch.ones(1, 3, 8, 8))).all()


def test_peak_memory_counts_what_is_alive_together() -> None:
    """Of three tensors of 4 kB two live at once, beside one of 8 kB that was there."""
    there = torch.zeros(2000)
    with PeakMemory([there]) as measured:
        one = torch.ones(1000)
        two = one + 1
        del one
        view = two.reshape(10, 100)[2:]
        three = view.sum()
        del two, view
        four = torch.ones(1000)
    del three, four
    assert measured.peak_bytes == 8000 + 2 * 4000


def test_peak_memory_of_a_training_step_agrees_with_pytorchs_profiler(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    images = torch.randn(32, 3, 32, 32)

    def step() -> None:
        model(images).square().mean().backward()
        model.zero_grad()

    step()
    there = PeakMemory([images, *model.parameters(), *model.buffers()])
    before = there.peak_bytes
    with there as measured:
        step()
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True, acc_events=True) as profiler:
        step()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    theirs = max(accumulate(changes_between_operators(events)))
    assert measured.peak_bytes - before == pytest.approx(theirs, rel=0.05)


def changes_between_operators(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """Bytes taken and given back, in order, without what an operator itself gives back.

    How much that is depends on the processor: oneDNN unfolds the images of a convolution on some.
    """
    operators = [
        (each["ts"], each["ts"] + each["dur"])
        for each in events
        if each.get("cat") == "cpu_op" and each["name"].startswith("aten::")
    ]
    found, taken = [], {}
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=itemgetter("ts")):
        address, number = event["args"]["Addr"], event["args"]["Bytes"]
        found.append(number)
        if number > 0:
            taken[address] = (len(found) - 1, event["ts"])
        elif address in taken:
            place, before = taken.pop(address)
            if any(start <= before and event["ts"] <= end for start, end in operators):
                found[place] = found[-1] = 0
    return found
