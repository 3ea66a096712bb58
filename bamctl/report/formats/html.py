"""Reports as a self-contained page: no server, no network, no other file."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from markupsafe import Markup, escape
from pydantic import Field, TypeAdapter, ValidationError

from bamctl import __version__
from bamctl.errors import InputError, blame, first_line
from bamctl.files.atomic import check_can_read
from bamctl.report.chart import (
    Bars,
    Chart,
    Costs,
    Designer,
    Distributions,
    NetworkSketch,
    Picture,
    Plot,
)
from bamctl.report.document import Report, Table
from bamctl.report.formats._plots import draw
from bamctl.report.formats._rows import bars, boxes, costs, intervals
from bamctl.report.formats._sketches import sketch

if TYPE_CHECKING:
    from jinja2 import Environment

_LIBRARIES = ("torch", "torchvision", "fvcore", "optuna")
_OPENING = '<script type="application/json" id="bamctl-pages">'
_CLOSING = "</script>"
_CODE = re.compile("`([^`\n]+)`")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Page:
    """A report, and the versions of the libraries that made it."""

    report: Report
    versions: dict[str, str]


@cache
def _pages() -> TypeAdapter[list[Page]]:
    return TypeAdapter(Annotated[list[Page], Field(min_length=1)])


def render(report: Report, *, to_file: bool) -> str:
    """Render the report as a page."""
    return render_pages([Page(report, _versions())])


def render_pages(pages: Sequence[Page]) -> str:
    """Render several reports as one page, each under its heading."""
    found = (
        _environment()
        .get_template("page.html")
        .render(
            title=pages[0].report.heading,
            pages=pages,
            has_designer=any(isinstance(c, Designer) for page in pages for c in page.report.charts),
            documents=_for_script(_pages().dump_python(list(pages), mode="json")),
        )
    )
    return found + "\n"


def read_pages(path: Path) -> list[Page]:
    """Read the reports of a page that bamctl wrote, or of a run's folder.

    Raises:
        InputError: there is no such page, or bamctl did not write it.
    """
    if path.is_dir():
        path /= "report.html"
    check_can_read(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: it is not text") from error
    except OSError as error:
        raise blame(error, f"{path}: cannot be read") from error
    _, opening, rest = text.rpartition(_OPENING)
    if not opening:
        raise InputError(f"{path} is not a bamctl report; create one with `--format html`")
    try:
        return _pages().validate_json(rest.partition(_CLOSING)[0])
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{path}: the report is damaged, or from another version of bamctl: {first['msg']}"
        ) from None


def join_pages(paths: Iterable[Path]) -> tuple[int, str]:
    """Join pages into one; return the number of reports, and the page.

    Raises:
        InputError: a page cannot be read, or a report in it cannot be shown.
    """
    pages = [page for path in paths for page in read_pages(path)]
    try:
        return len(pages), render_pages(pages)
    except Exception as error:
        # The types are valid, but values may be inconsistent, such as rows that do not fit columns.
        raise blame(error, "a report in these pages is damaged", first_line(error)) from error


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"bamctl": __version__, "python": sys.version.split()[0], **libraries}


@cache
def _environment() -> "Environment":
    # Most commands do not render a page, so import this on demand.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bamctl.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"prose": _prose, "drawing": _drawing, "together": _together}
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.globals["asset"] = lambda name: (
        resources.files("bamctl.report").joinpath("page", name).read_text(encoding="utf-8")
    )
    return environment


def _for_script(value: Any) -> str:
    """Escape JSON so that it cannot end its `script` element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A file name that is not UTF-8 has lone surrogates, which JSON readers reject.
    text = _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _drawing(chart: Chart) -> Any:
    """Return where everything of a chart is; a picture is drawn already."""
    if isinstance(chart, Plot):
        has_names = any(isinstance(p.y, str) for series in chart.series for p in series.points)
        return intervals(chart) if has_names else draw(chart)
    return DRAWINGS[type(chart)](chart)


DRAWINGS: dict[type, Callable[[Any], Any]] = {
    Bars: bars,
    Costs: lambda chart: list(costs(chart)),
    Distributions: boxes,
    NetworkSketch: sketch,
    Designer: lambda chart: chart,
    Picture: lambda chart: chart,
}


def _together(charts: Sequence[Chart]) -> list[list[tuple[int, Chart]]]:
    """Return charts with their numbers; networks that follow each other stand side by side."""
    found: list[list[tuple[int, Chart]]] = []
    for number, chart in enumerate(charts):
        is_next = found and isinstance(chart, NetworkSketch) and found[-1][0][1].type == "network"
        if is_next:
            found[-1].append((number, chart))
        else:
            found.append([(number, chart)])
    return found


def _prose(text: str) -> Markup:
    """Return text as markup, with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
