"""A diagnosis as a report, to paste into the report of a bug."""

from dataclasses import asdict
from typing import Any

from bamctl import __version__, units
from bamctl.diagnosis import Diagnosis, Extra, Library
from bamctl.report.document import SCHEMA, Column, Report, Table


def doctor_report(found: Diagnosis) -> Report:
    """Show what is installed and found, and what each missing extra would add."""
    wrong = [each for each in found.libraries if not each.is_met]
    problems = [f"{each.name}: {_state(each)}" for each in wrong]
    problems += [found.problem] if found.problem else []
    blocks: list[Table | str] = [
        *(["\n".join(f"Problem: {each}." for each in problems)] if problems else []),
        _pairs("device", found.devices),
        _pairs("data set", found.data),
        Table([Column("extra"), Column(""), Column("adds")], list(map(_extra, found.extras))),
        _folders(found),
        _pairs("library", {each.name: _state(each) for each in found.libraries}),
    ]
    data = {"schema": SCHEMA, "bamctl": __version__, **_data(found), "problems": problems}
    heading = f"bamctl {__version__}   Python {found.python}   {found.system}"
    return Report(heading, blocks, data, [asdict(each) for each in found.libraries])


def _pairs(title: str, pairs: dict[str, str]) -> Table:
    return Table([Column(title), Column("")], [[name, text] for name, text in pairs.items()])


def _state(library: Library) -> str:
    if library.version is None:
        return f"missing; {library.name}{library.required} is required"
    wrong = "" if library.is_met else f"; {library.required} is required"
    return f"{library.version}{wrong}"


def _extra(extra: Extra) -> list[str]:
    how = "installed" if extra.is_met else f"pip install 'bamctl[{extra.name}]'"
    return [extra.name, how, extra.adds]


def _folders(found: Diagnosis) -> Table:
    columns = [Column("kept"), Column("files", "right"), Column("size", "right"), Column("in")]
    rows = [
        [each.name, str(each.num_files), units.size(each.num_bytes), str(each.path)]
        for each in found.folders
    ]
    return Table(columns, rows)


def _data(found: Diagnosis) -> dict[str, Any]:
    return {
        "python": found.python,
        "system": found.system,
        "devices": found.devices,
        "data": found.data,
        "extras": [
            {
                "name": each.name,
                "installed": each.is_met,
                "adds": each.adds,
                "libraries": {library.name: library.version for library in each.libraries},
            }
            for each in found.extras
        ],
        "folders": [{**asdict(each), "path": str(each.path)} for each in found.folders],
        "libraries": {each.name: each.version for each in found.libraries},
    }
