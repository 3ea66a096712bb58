"""Trust in the factories that the command line names."""

from typing import Annotated

import typer

from bamctl.errors import InputError

Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="package.module:factory",
        help="Let a file outside of your project name this factory, which is code; repeat for "
        "several.",
        show_default=False,
    ),
]


def allow_named(model: str | None, trusted: list[str] | None = None) -> None:
    """Allow the factories that were named: as MODEL, and with each `--trust`.

    Raises:
        InputError: what `--trust` names is no factory.
    """
    from bamctl.networks import trust
    from bamctl.networks.factories import is_factory

    for name in trusted or []:
        if not is_factory(name):
            raise InputError(f"--trust {name!r} is not package.module:factory")
    trust.trust(*filter(None, [model, *(trusted or [])]))
