"""Networks for detection, segmentation and video learn with BAM in their backbones."""

import torch
from torch import Tensor, nn

from bamctl import insert
from bamctl.networks import models

STEPS = 2


def prepared(name: str, inputs: tuple[int, ...], num_classes: int) -> nn.Module:
    model = models.build(name, inputs=inputs, num_classes=num_classes)
    return insert(model, input_shape=inputs).train()


def step(model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    assert bool(loss.isfinite())
    optimizer.zero_grad()
    loss.backward()
    gradients = [parameter.grad for parameter in model.inserted.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)
    optimizer.step()


def test_a_detector() -> None:
    """Bright squares on dark ground, two images of different sizes in a batch."""
    model = prepared("fasterrcnn_resnet50_fpn", (3, 96, 96), num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.002)
    images, targets = [], []
    for height, width, corner in ((96, 96, 16), (80, 96, 32)):
        image = torch.rand(3, height, width) * 0.1
        image[:, corner : corner + 40, corner : corner + 40] = 1
        box = [corner, corner, corner + 40, corner + 40]
        images.append(image)
        targets.append({"boxes": torch.tensor([box]).float(), "labels": torch.tensor([1])})
    before = [p.detach().clone() for p in model.inserted.parameters()]
    for _ in range(STEPS):
        step(model, sum(model(images, targets).values()), optimizer)
    moved = [
        not torch.equal(*pair) for pair in zip(before, model.inserted.parameters(), strict=True)
    ]
    assert any(moved)
    model.eval()
    assert set(model(images)[0]) == {"boxes", "labels", "scores"}


def test_a_segmentation_network() -> None:
    model = prepared("fcn_resnet50", (3, 64, 64), num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, masks = torch.rand(2, 3, 64, 64) * 0.1, torch.zeros(2, 64, 64, dtype=torch.int64)
    images[:, :, 16:48, 16:48], masks[:, 16:48, 16:48] = 1, 1
    for _ in range(STEPS):
        out = model(images)
        losses = [nn.functional.cross_entropy(out[key], masks) for key in ("out", "aux")]
        step(model, losses[0] + 0.5 * losses[1], optimizer)


def test_a_video_network() -> None:
    """A square that moves to the left or to the right."""
    model = prepared("r3d_18", (3, 8, 32, 32), num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    clips = torch.zeros(2, 3, 8, 32, 32)
    for frame in range(8):
        clips[0, :, frame, 12:20, 3 * frame : 3 * frame + 8] = 1
        clips[1, :, frame, 12:20, 21 - 3 * frame : 29 - 3 * frame] = 1
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(model(clips), torch.tensor([0, 1]))
        step(model, loss, optimizer)
