"""`bamctl models`."""

from typing import Annotated, Literal

import typer

from bamctl.cli.messages import working
from bamctl.cli.options.declare import option
from bamctl.cli.options.output import OutputOptions


def models(
    pattern: Annotated[str, typer.Argument(metavar="[GLOB]", show_default=False)] = "*",
    *,
    family: Annotated[
        Literal[
            "classification", "quantization", "segmentation", "detection", "video", "optical_flow"
        ]
        | None,
        option("Only models of this family. [all]"),
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Trace each model to count its bottlenecks and blocks.")
    ] = False,
    out: OutputOptions,
) -> int:
    """List the models that can be analysed, all or those that a glob matches."""
    from bamctl.analysis import catalog
    from bamctl.report.views.models import models_report

    out.check()
    names = catalog.matching(pattern, family)
    with working(f"tracing {len(names)} models"):
        found = list(catalog.entries(names, count=count))
    out.show(models_report(found))
    return 0
