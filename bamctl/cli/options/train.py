"""The options of `bamctl train`, group by group."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.shared import check_needs_ray

Length = "Length"
Training = "Training"
Images = "Data"
Places = "Where runs are executed"


@dataclass(frozen=True)
class DataOptions:
    """The images."""

    data: Annotated[
        str | None,
        option(
            "digits, fashion-mnist, cifar10, another classification set of torchvision, "
            "folder:PATH, or a set of another task. [that of the task, offline]",
            Images,
        ),
    ] = None
    data_root: Annotated[
        str | None, option("Folder of torchvision's data sets. [data]", Images, metavar="FOLDER")
    ] = None
    download: Annotated[bool, flag("--download", "Download a missing data set.", Images)] = False
    bad_images: Annotated[
        Literal["refuse", "skip"] | None, option("Handling of unreadable images. [refuse]", Images)
    ] = None
    readers: Annotated[
        int | None, option("Processes that read images. [0]", Images, min=0, max=256)
    ] = None
    held_out: Annotated[
        int | None, option("Held-out samples to judge by. [all]", Images, min=1)
    ] = None
    test: Annotated[
        bool, flag("--test", "Also report the test split, once, at the end.", Images)
    ] = False

    def given(self) -> dict[str, Any]:
        """Return the options that were passed, by their names in a configuration."""
        names = {"data": "name", "data_root": "root"}
        return {
            names.get(name, name): value
            for name, value in asdict(self).items()
            if value is not None and value is not False
        }


@dataclass(frozen=True)
class LengthOptions:
    """The length of each run."""

    steps: Annotated[int | None, option("Steps of each run. [by task]", Length, min=1)] = None
    epochs: Annotated[int | None, option("Or epochs.", Length, min=1)] = None
    max_minutes: Annotated[
        float | None,
        option(
            "Or as many steps as let all runs together end in so many minutes. With --until, the "
            "minutes in which seeds are added.",
            Length,
        ),
    ] = None
    freeze_backbone_epochs: Annotated[
        int, typer.Option(help="Epochs with the pretrained parameters frozen.", min=0)
    ] = 0


@dataclass(frozen=True)
class RecipeOptions:
    """The training of each network."""

    batch_size: Annotated[
        int | None,
        option("Samples per step, over all devices. [by task]", Training, min=1),
    ] = None
    lr: Annotated[
        float | None,
        option(
            "Learning rate. [by task, in proportion to the batch; with weights a tenth]",
            Training,
        ),
    ] = None
    optimizer: Annotated[
        Literal["sgd", "adamw"] | None, option("Optimizer. [by task]", Training)
    ] = None
    clip_norm: Annotated[
        float | None, option("Scale longer gradients to this norm. [by task]", Training)
    ] = None
    momentum: Annotated[float | None, option("Momentum of SGD. [0.9]", Training)] = None
    weight_decay: Annotated[float | None, option("Weight decay. [0.0001]", Training)] = None
    schedule: Annotated[
        Literal["cosine", "step"] | None,
        option("cosine decay to zero, or a tenth after each third. [cosine]", Training),
    ] = None
    warmup_steps: Annotated[
        int | None, option("Steps of linear warm-up. [a tenth of the steps]", Training, min=0)
    ] = None
    label_smoothing: Annotated[float | None, option("Label smoothing. [0]", Training)] = None
    accumulate: Annotated[
        int | None, option("Gradient accumulation: parts of a batch. [1]", Training, min=1)
    ] = None
    precision: Annotated[
        Literal["no", "bf16", "fp16"] | None, option("Mixed precision. [no]", Training)
    ] = None
    eval_every: Annotated[
        int | None,
        option(
            "Steps between evaluations, and checkpoints. [a fifth of the steps]", Training, min=1
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options that were passed."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class PlaceOptions:
    """Where runs are executed; the results do not depend on it."""

    engine: Annotated[
        Literal["local", "ray"],
        option("Processes of this machine, or a Ray cluster. [local]", Places),
    ] = "local"
    workers: Annotated[
        int | None,
        option(
            "Runs at a time; 1 for one after the other. [a core, a GPU or the cluster's room for "
            "each, if they take longer than the start of processes]",
            Places,
            min=1,
        ),
    ] = None
    address: Annotated[
        str | None, option("Of the Ray cluster: auto or HOST:PORT. [auto]", Places)
    ] = None
    gpus_per_run: Annotated[
        float | None, option("With Ray: GPUs of a run, such as 0.5. [0]", Places, min=0)
    ] = None

    def check(self) -> None:
        """Raise for options of a cluster without one.

        Raises:
            InputError: there are such options.
        """
        check_needs_ray(self.engine, address=self.address, gpus_per_run=self.gpus_per_run)


@dataclass(frozen=True)
class ComparisonOptions:
    """The comparison, and its folder."""

    seeds: Annotated[int | None, option("Runs of each arm. [5]", min=1, max=1000)] = None
    until: Annotated[
        Literal["settled"] | None,
        option("Add seeds until every comparison has a verdict.", metavar="settled"),
    ] = None
    max_seeds: Annotated[
        int | None, option("With --until, the most seeds. [50]", min=2, max=1000)
    ] = None
    margin: Annotated[
        float | None,
        option(
            "Points of accuracy, or a difference of another measure; smaller ones are shown to be "
            "equivalent."
        ),
    ] = None
    control: Annotated[
        bool,
        flag(
            "--control",
            "Also train controls with as many parameters: an extra block, and wider layers.",
        ),
    ] = False
    pretrained: Annotated[
        bool, flag("--pretrained", "Start from the published weights; implies --init identity.")
    ] = False
    weights: Annotated[
        str | None, option("Start from these weights, by name or file.", metavar="NAME|FILE")
    ] = None
    start: Annotated[
        Literal["scratch", "trunk", "weights"] | None,
        option(
            "Where arms start. trunk: the unmodified network is trained once for each seed, and "
            "attention inserted in copies that train on. [weights if given, else scratch]"
        ),
    ] = None
    trunk_steps: Annotated[
        int | None, option("The steps of the trunk. [half of --steps]", min=1)
    ] = None
    threads: Annotated[
        int | None,
        option("Threads of a run on a CPU; results depend on it. [1]", min=1),
    ] = None
    device: Annotated[
        Literal["auto", "cpu"] | None, option("An accelerator if there is one, or the CPU. [auto]")
    ] = None
    config: Annotated[
        Path | None, option("Repeat the comparison of a configuration.", metavar="FILE")
    ] = None
    resume: Annotated[
        Path | None, option("Resume from a folder; --seeds may grow.", metavar="FOLDER")
    ] = None
    out: Annotated[
        Path | None, option("Folder of the runs. [runs/MODEL-TIME]", metavar="FOLDER")
    ] = None
    snapshots: Annotated[
        bool, flag("--snapshots", "Save the weights at each evaluation, for `bamctl attend`.")
    ] = False
    tensorboard: Annotated[bool, flag("--tensorboard", "Also write TensorBoard logs.")] = False
