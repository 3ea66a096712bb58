"""`bamctl analyze`."""

from typing import Annotated

import typer

from bamctl.cli.options import (
    AttentionOptions,
    ModelName,
    NetworkOptions,
    OutputOptions,
    placement_data,
    working,
)


def analyze(
    model: ModelName,
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each stage is a bottleneck or is not.")
    ] = False,
    attention: AttentionOptions,
    network: NetworkOptions,
    out: OutputOptions,
) -> int:
    """Show a network's stages and bottlenecks, and what attention would cost there."""
    from bamctl.models import check_name
    from bamctl.placement import Placement

    out.check()
    check_name(model)
    wanted = Placement.from_options(placement_data({}, network, attention))

    with working(f"tracing {model}"):
        from bamctl.analysis import analyze as run
        from bamctl.report.analysis_view import analysis_report

        found = run(
            model,
            input_shape=wanted.input,
            args=wanted.args,
            attention=wanted.attention,
            stages=wanted.stages,
            num_classes=wanted.num_classes,
            stem=wanted.stem,
        )
    out.show(analysis_report(found, explain=explain))
    return 0
