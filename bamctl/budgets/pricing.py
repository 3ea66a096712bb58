"""Prices of placements, network by network."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bamctl.budgets.figures import Priced, price
from bamctl.budgets.targets import Target
from bamctl.errors import BamctlError
from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class NotPriced:
    """Why a placement has no price; `about` is the key of its file that the error is about."""

    error: BamctlError
    about: str


def price_all(targets: Iterable[Target]) -> Iterator[tuple[Target, Priced | NotPriced]]:
    """Yield each placement on its network; those of one network, which is traced once, in a row."""
    subject: TracedNetwork | None = None
    key = None
    for target in sorted(targets, key=lambda each: each.placement.key):
        about = "model"
        try:
            target.check_factory()
            if subject is None or key != target.placement.key:
                # Free the last network before the next one is built.
                subject, key = None, target.placement.key
                subject = TracedNetwork.load(target.placement)
            about = "where"
            found: Priced | NotPriced = price(subject, target.placement)
        except BamctlError as error:
            found = NotPriced(error, about)
        yield target, found
