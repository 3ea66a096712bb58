"""`bamctl analyze --sensitivity`: which sites of a placement carry its gain."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

from bamctl.cli.messages import working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.project import data_of_project
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import NetworkOptions
from bamctl.cli.options.short_runs import ImageOptions, named_weights
from bamctl.cli.options.tasks import TaskOptions
from bamctl.errors import InputError
from bamctl.trunk import strategies

_SEEDS = 3


@dataclass(frozen=True)
class SensitivityOptions:
    """The placement to take apart, and the runs."""

    sensitivity: Annotated[
        bool,
        flag(
            "--sensitivity",
            "Show which sites carry the gain, by short runs of each alone and of all but each.",
            "Sensitivity",
        ),
    ] = False
    where: Annotated[
        list[str] | None,
        option(
            f"The full placement: {strategies.named()}, a module or a glob. "
            f"[{strategies.DEFAULT_STRATEGY}]",
            "Sensitivity",
        ),
    ] = None
    task: Annotated[
        str | None, option("Task, as for `bamctl train`. [as the network's family]", "Sensitivity")
    ] = None
    train: Annotated[
        str | None,
        option("Your own training loop, as for `bamctl train`.", "Sensitivity", metavar="FUNCTION"),
    ] = None
    metric: Annotated[
        str | None, option("With --train: the number that is judged.", "Sensitivity")
    ] = None
    better: Annotated[
        Literal["higher", "lower"] | None,
        option("With --train: whether higher or lower is better. [higher]", "Sensitivity"),
    ] = None
    data: Annotated[
        str | None, option("Data set, as for `bamctl train`. [that of the task]", "Sensitivity")
    ] = None
    pretrained: Annotated[
        bool, flag("--pretrained", "Start from the published weights.", "Sensitivity")
    ] = False
    weights: Annotated[
        str | None,
        option("Start from these weights, by name or file.", "Sensitivity", metavar="NAME|FILE"),
    ] = None
    data_root: Annotated[
        str | None,
        option("Folder of torchvision's data sets. [data]", "Sensitivity", metavar="FOLDER"),
    ] = None
    seeds: Annotated[int | None, option("Runs of each network. [3]", "Sensitivity", min=1)] = None
    steps: Annotated[int | None, option("Steps of each run. [50]", "Sensitivity", min=1)] = None
    start: Annotated[
        Literal["scratch", "trunk", "weights"] | None,
        option("Where networks start, as in `bamctl train`. [trunk]", "Sensitivity"),
    ] = None
    trunk_steps: Annotated[
        int | None,
        option("With --start trunk: steps of the trunk. [half of --steps]", "Sensitivity", min=1),
    ] = None
    workers: Annotated[
        int | None, option("Parallel runs. [one per core]", "Sensitivity", min=1)
    ] = None

    def of_project(self, where: list[str] | None) -> "SensitivityOptions":
        """Return the options with sites and data of the project, if it is asked for."""
        if not self.sensitivity:
            return self
        return replace(self, where=where, data=data_of_project(self.data))

    @property
    def what(self) -> TaskOptions:
        """What is trained."""
        return TaskOptions(self.task, self.train, self.metric, self.better)

    def check(self, others: Mapping[str, object]) -> None:
        """Raise for incompatible options.

        Raises:
            InputError: options of this group without the first, or with `others` that are for
                what is shown without it.
        """
        self.what.check()
        if self.sensitivity:
            for name, value in others.items():
                if value:
                    raise InputError(f"{name} cannot be combined with --sensitivity")
            return
        for each in fields(self):
            if getattr(self, each.name):
                raise InputError(f"--{each.name.replace('_', '-')} requires --sensitivity")


def take_apart(
    model: str,
    wanted: SensitivityOptions,
    attention: AttentionOptions,
    network: NetworkOptions,
    out: OutputOptions,
) -> int:
    """Train each site alone and all but each, and say what that shows."""
    from bamctl.nas.sensitivity import sensitivity
    from bamctl.report.views.sensitivity import sensitivity_report

    images = ImageOptions(data=wanted.data, data_root=wanted.data_root)
    with working(f"training {model} with and without each site"):
        training, found = sensitivity(
            model,
            where=wanted.where or [strategies.DEFAULT_STRATEGY],
            attention=attention.given(),
            **network.arguments(),
            **wanted.what.arguments(),
            data=images.given(),
            weights=named_weights(pretrained=wanted.pretrained, weights=wanted.weights),
            steps=wanted.steps or 50,
            seeds=wanted.seeds or _SEEDS,
            start=wanted.start,
            trunk_steps=wanted.trunk_steps,
            workers=wanted.workers,
        )
    out.show(sensitivity_report(training, found))
    return 0
