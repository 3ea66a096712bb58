"""The commands in groups, and the help of the program without torch."""

from collections.abc import Callable
from typing import Any

from typer.core import TyperGroup

from bamctl.cli.commands.analyze import analyze
from bamctl.cli.commands.attend import attend
from bamctl.cli.commands.calibrate import calibrate
from bamctl.cli.commands.check import check
from bamctl.cli.commands.config import config
from bamctl.cli.commands.doctor import doctor
from bamctl.cli.commands.help import help as help_command
from bamctl.cli.commands.insert import insert
from bamctl.cli.commands.judge import judge
from bamctl.cli.commands.latency import latency
from bamctl.cli.commands.models import models
from bamctl.cli.commands.report import report
from bamctl.cli.commands.schema import schema
from bamctl.cli.commands.search import search
from bamctl.cli.commands.train import train

GROUPS: dict[str, tuple[Callable[..., int], ...]] = {
    "Look": (analyze, attend, models),
    "Change": (insert,),
    "Measure": (latency, train, judge, calibrate),
    "Decide": (search, report),
    "In CI": (check, schema),
    "This program": (config, doctor, help_command),
}
COMMANDS = tuple(command for group in GROUPS.values() for command in group)
EXAMPLES = {
    "bamctl analyze resnet50": "where can attention go, at what cost?",
    "bamctl insert resnet18 --init identity": "no output changes",
    "bamctl check --init resnet18": "a placement with a budget, for CI",
}
_WIDTH = 100


class Overview(TyperGroup):
    """A program whose help shows its commands in groups, in whole sentences, and examples."""

    def __init__(self, **settings: Any) -> None:
        settings["context_settings"] = {"max_content_width": _WIDTH}
        super().__init__(**settings)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups, the examples, and then the options."""
        width = max(len(each.__name__) for each in COMMANDS)
        for title, commands in GROUPS.items():
            with formatter.section(title):
                rows = [(each.__name__.ljust(width), summary(each)) for each in commands]
                formatter.write_dl(rows)
        with formatter.section("Try"):
            formatter.write_dl(list(EXAMPLES.items()), col_max=_WIDTH)
        formatter.write_paragraph()
        formatter.write_text(
            "`bamctl COMMAND --help` lists the options of a command, `bamctl help` the chapters of "
            "the documentation."
        )
        records = [each.get_help_record(ctx) for each in self.get_params(ctx)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])


def summary(command: Callable[..., int]) -> str:
    """Return the first sentence of a command's help."""
    return (command.__doc__ or "").strip().partition("\n")[0]
