"""Names in a sentence."""

from collections.abc import Iterable, Sequence


def few(names: Sequence[str], most: int) -> str:
    """List the first names, and how many more there are.

    >>> few(["a", "b", "c"], 2), few(["a", "b"], 2)
    ('a, b and 1 more', 'a, b')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def series(names: Iterable[str]) -> str:
    """List all names, the last one behind an "and".

    >>> series(["a", "b", "c"]), series(["a"])
    ('a, b and c', 'a')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
