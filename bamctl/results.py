"""Base class of results that a notebook can display."""

from importlib import import_module


class Displayed:
    """A result that a notebook displays like `--format html`."""

    def _repr_html_(self) -> str:
        # Reports import results; this is the only import in the other direction.
        text: str = import_module("bamctl.report.notebook").html(self)
        return text
