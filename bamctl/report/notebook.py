"""Display of results in a notebook: the page of `--format html`, in a frame."""

from collections.abc import Callable
from html import escape
from typing import Any

from bamctl.report.document import Report
from bamctl.report.formats.formats import FORMATS
from bamctl.report.views.analysis import analysis_report
from bamctl.report.views.check import check_report
from bamctl.report.views.comparison import comparison_view
from bamctl.report.views.judgment import judgment_report
from bamctl.report.views.latency import latency_view
from bamctl.report.views.search import search_report
from bamctl.report.views.training import training_report

# The view of each class of results.
VIEWS: dict[str, Callable[[Any], Report]] = {
    "Analysis": lambda result: analysis_report(result, explain=False),
    "CheckResult": lambda result: check_report(
        result.results,
        result.without_budget,
        why=result.why,
        comparison=result.comparison,
        history=result.history,
    ),
    "Judgment": judgment_report,
    "LatencyComparison": comparison_view,
    "LatencyResult": latency_view,
    "Result": training_report,
    "SearchResult": search_report,
}


def html(result: object) -> str:
    """Return a result as a frame with its page in it."""
    page = FORMATS["html"].render(VIEWS[type(result).__name__](result), to_file=True)
    style = "width: 100%; height: 40em; border: 0"
    # As high as the page, where the notebook lets a script say so.
    grow = "this.style.height = `${this.contentDocument.documentElement.scrollHeight}px`"
    return f'<iframe srcdoc="{escape(page, quote=True)}" style="{style}" onload="{grow}"></iframe>'
