"""`bamctl judge`."""

from typing import Annotated, Literal

import typer

from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions


def judge(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|PATTERN...",
            help="Tables (.csv, .jsonl) with columns arm, seed and the result, or patterns of "
            "TensorBoard's folders, such as 'runs/{arm}/seed-{seed}'.",
        ),
    ],
    *,
    baseline: Annotated[
        str | None, option("The arm to compare with. [baseline]", metavar="ARM")
    ] = None,
    metric: Annotated[
        str | None,
        option("The column or the scalar. [the only one, or value]", metavar="NAME"),
    ] = None,
    better: Annotated[
        Literal["higher", "lower"], typer.Option(help="Which direction is better.")
    ] = "higher",
    margin: Annotated[
        float | None,
        option("A difference smaller than this, in the metric's unit, is called equivalent."),
    ] = None,
    first: Annotated[
        int | None, option("Seeds at the first look, if some were added since. [all]", min=2)
    ] = None,
    unpaired: Annotated[
        bool, flag("--unpaired", "Runs of one seed share nothing; compare independent runs.")
    ] = False,
    shown: OutputOptions,
) -> int:
    """Say whether arms of a training that is done differ from its baseline."""
    from bamctl.judging.judge import judge as run
    from bamctl.report.views.judgment import judgment_report

    shown.check()
    found = run(
        results,
        baseline=baseline,
        metric=metric,
        better=better,
        margin=margin,
        first=first,
        paired=False if unpaired else None,
    )
    shown.show(judgment_report(found))
    return 0
