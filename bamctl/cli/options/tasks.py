"""The options that say what is trained: a task, or a loop of one's own."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from bamctl.cli.options.declare import option
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError

_PANEL = "Task"


@dataclass(frozen=True)
class TaskOptions:
    """What is trained."""

    task: Annotated[
        str | None,
        option(
            f"What is trained: {', '.join(get_args(TaskName))}, or package.module:factory. [as "
            "the network's family]",
            _PANEL,
        ),
    ] = None
    train: Annotated[
        str | None,
        option(
            "A training loop of your own, as package.module:function, called with a network and "
            "the keywords seed, steps, device and report. It returns a number, or several by name.",
            _PANEL,
            metavar="FUNCTION",
        ),
    ] = None
    metric: Annotated[
        str | None,
        option("With --train: the name of the number that is judged. [the only one]", _PANEL),
    ] = None
    better: Annotated[
        Literal["higher", "lower"] | None,
        option("With --train: whether higher or lower is better. [higher]", _PANEL),
    ] = None

    def check(self) -> None:
        """Raise for options of a loop without one.

        Raises:
            InputError: there are such options.
        """
        if self.train is None and (self.metric or self.better):
            name = "metric" if self.metric else "better"
            raise InputError(f"--{name} is for a loop of your own; add --train package:function")

    def arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of `bamctl.train` and `bamctl.search`."""
        loop = {"function": self.train, "metric": self.metric, "better": self.better}
        given = {name: value for name, value in loop.items() if value is not None}
        return {"task": self.task, "loop": given or None}
