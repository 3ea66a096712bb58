"""The defaults of a project as a report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bamctl.report.document import SCHEMA, Column, Report, Table

# The option that each key of the table is the default of.
_OPTIONS = {
    "model": "MODEL",
    "args": "--arg",
    "input": "--input",
    "num_classes": "--num-classes",
    "stem": "--stem",
    "data": "--data",
    "where": "--where",
}
_EXAMPLE = """\
[tool.bamctl]
model = "resnet50"
num_classes = 10
where = "bottleneck"
data = "cifar10"
"""


def config_report(file: Path | None, defaults: Mapping[str, Any]) -> Report:
    """Show each default of a project with the option that overrides it, or how to set one.

    Args:
        file: the file of the table; None if there is none.
        defaults: the keys that the table sets.
    """
    data = {"schema": SCHEMA, "file": file and str(file), **defaults}
    if file is None:
        heading = "No [tool.bamctl] in a pyproject.toml here or above; for example"
        return Report(heading, [_EXAMPLE], data, [data])
    columns = [Column("default"), Column("value"), Column("overridden by")]
    named = {key: option for key, option in _OPTIONS.items() if key in defaults}
    rows = [[key, _text(defaults[key]), option] for key, option in named.items()]
    return Report(str(file), [Table(columns, rows)], data, [data])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
