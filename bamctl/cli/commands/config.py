"""`bamctl config`."""

from bamctl.cli.options.output import OutputOptions


def config(shown: OutputOptions) -> int:
    """Show the defaults of the project, from [tool.bamctl] in the nearest pyproject.toml."""
    shown.check()
    from bamctl.cli import project
    from bamctl.report.views.config import config_report

    found = project.find()
    defaults = found.defaults.model_dump(exclude_defaults=True) if found else {}
    shown.show(config_report(found.path if found else None, defaults))
    return 0
