"""Results that show themselves in a notebook."""

from importlib import import_module


class Displayed:
    """A result that a notebook shows as the command shows it with `--format html`."""

    def _repr_html_(self) -> str:
        # The reports are above all results in the order of imports, and this is the one way up.
        text: str = import_module("bamctl.report.notebook").html(self)
        return text
