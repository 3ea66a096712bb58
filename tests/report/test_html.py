"""Pages in a real browser: they show what was found, to everybody, and ask nobody for anything."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from bamctl import Placement, analyze
from bamctl.analysis.attend import attend, open_image
from bamctl.budgets.check import check_targets
from bamctl.budgets.figures import price
from bamctl.budgets.targets import Target
from bamctl.errors import InputError
from bamctl.nas.result import SearchResult
from bamctl.networks.spec import NetworkSpec
from bamctl.report.chart import (
    Axis,
    Bar,
    Bars,
    Distributions,
    NetworkSketch,
    Plot,
    Point,
    Sample,
    Series,
    StageSketch,
)
from bamctl.report.document import Attachment, Column, Report, Table
from bamctl.report.formats import html
from bamctl.report.views.analysis import analysis_report
from bamctl.report.views.attend import attend_report
from bamctl.report.views.check import check_report
from bamctl.report.views.insertion import insertion_report
from bamctl.report.views.latency import estimate_report, latency_report
from bamctl.report.views.search import search_report
from bamctl.report.views.training import training_report
from bamctl.surgery.insertion import build_and_insert
from bamctl.timing.measured import measure_placed
from bamctl.timing.placed import Estimator
from bamctl.timing.profiles import find
from bamctl.training.config import DataConfig
from bamctl.training.experiment import Experiment, load_data
from bamctl.training.watching import NullObserver
from bamctl.trunk.traced import TracedNetwork
from tests.nas.test_result import search_of_a_table
from tests.report.browser import CUT_OFF, OUTSIDE, OVERLAPS, Visit, launched, needs_browser, visit
from tests.training.conftest import MODEL, small

NASTY = """<script>alert("x")</script> 'quotes' & <b>bold</b> """ + "long" * 75
SERIOUS = ("serious", "critical")


def analysis() -> Report:
    return analysis_report(analyze("mobilenet_v2"), explain=True)


def latency() -> Report:
    placement = Placement(model="resnet18", where="bottleneck", input="3x64x64")
    priced = price(TracedNetwork.load(placement, initialize=True), placement)
    subject, sites = priced.subject, priced.placed.sites
    found = measure_placed(
        subject.network, sites, subject.trace.given, min_seconds=0.2, per_site=True
    )
    return latency_report(priced, [found])


def estimate() -> Report:
    placement = Placement(model="resnet18", where="bottleneck")
    priced = price(TracedNetwork.load(placement), placement)
    estimator = Estimator(priced.subject.network, priced.subject.trace, find("rtx4090"))
    found = [estimator.estimate(priced.placed.sites, size) for size in (1, 64)]
    return estimate_report(priced, found, per_site=True)


def checked() -> Report:
    budget = {"params": "+0.1 %", "macs": "2 GMACs", "memory": "+90 %"}
    placement = Placement(model="resnet18", where="bottleneck", budget=budget)
    return check_report(check_targets([Target(placement)]), [], why=True)


def inserted() -> Report:
    placement = Placement(model="resnet18", where="bottleneck", input="3x64x64")
    return insertion_report(build_and_insert(placement)[1])


def attended(folder: Path) -> Report:
    """Two images, one with a name that is no markup."""
    placement = Placement(model="resnet18", where="bottleneck", input="3x64x64")
    network, found = build_and_insert(placement)
    seen = []
    for name in ("plain.png", "<b>&.png"):
        Pillow.new("RGB", (80, 50), "teal").save(folder / name)
        image = open_image(folder / name, (3, 64, 64))
        seen.append((image, attend(network, found.placed.sites, image.pixels)))
    return attend_report(found, seen)


def training(folder: Path) -> Report:
    digits = load_data(NetworkSpec(model=MODEL, input="3x32x32"), DataConfig())
    config = small(recipe={"steps": 6, "eval_every": 2})
    return training_report(Experiment(config, digits).run(folder / "run", NullObserver()))


def hostile() -> Report:
    """Everything that takes a name, with one that would break out of its place if it could."""
    point = Point(1.0, 2.0, NASTY, 1.0, 3.0, attachment=NASTY)
    stage = StageSketch("stage 1", "56x56", 56, 64, [NASTY, "b"], {NASTY: NASTY})
    number = Axis("<b>cost</b>")
    return Report(
        NASTY,
        [Table([Column(NASTY), Column("")], [[NASTY, "1"]], frozenset({0})), f"words\n{NASTY}"],
        {"name": NASTY},
        charts=[
            NetworkSketch("network", NASTY, [stage]),
            Plot("plot", NASTY, number, number, [Series(NASTY, [point]), Series("b", [point])]),
            Plot("names", NASTY, number, Axis(""), [Series("b", [replace(point, y=NASTY)])]),
            Bars("bars", NASTY, number, [Bar(NASTY, 1.0, NASTY, is_bad=True)], limit=0.5),
            Distributions(
                "times", NASTY, number, [Sample(NASTY, [1.0, 2.0, 3.0]), Sample("b", [2.0])]
            ),
        ],
        attachments=[Attachment(NASTY, NASTY)],
    )


def large(found: SearchResult) -> Report:
    """A study of 2,000 trials: those of a small one, over and over."""
    trials = [replace(found.trials[n % len(found.trials)], number=n) for n in range(2000)]
    volume = tuple(min(1.0, n / 2000) for n in range(2000))
    return search_report(replace(found, trials=tuple(trials), volume=volume))


KINDS = (
    *("analysis", "latency", "estimate", "check", "training", "search", "inserted", "attended"),
    *("joined", "hostile", "large"),
)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    folder = tmp_path_factory.mktemp("reports")
    found = search_of_a_table(tmp_path_factory.mktemp("search"))
    return {
        "analysis": analysis(),
        "latency": latency(),
        "estimate": estimate(),
        "check": checked(),
        "training": training(folder),
        "search": search_report(found),
        "inserted": inserted(),
        "attended": attended(folder),
        "hostile": hostile(),
        "large": large(found),
    }


@pytest.fixture(scope="module")
def pages(reports: dict[str, Report], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in reports}
    for name, path in paths.items():
        path.write_text(html.render(reports[name], to_file=True), encoding="utf-8")
    several = [page for name in ("check", "training") for page in html.read_pages(paths[name])]
    paths["joined"] = folder / "joined.html"
    paths["joined"].write_text(html.render_pages(several), encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


SCHEMES = ("light", "dark")
# Each page at each width and in each scheme, and each width in each scheme.
LOOKS = [
    (name, width, scheme)
    for number, name in enumerate(KINDS)
    for width, scheme in zip(
        (1280, 390), ("light", "dark")[:: 1 if number % 2 else -1], strict=True
    )
]


@needs_browser
@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_a_page_is_whole_quiet_and_for_everybody(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    from axe_core_python.sync_playwright import Axe

    with visit(browser, pages[name], width, scheme) as seen:
        assert seen.complaints == []
        assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
        assert seen.page.evaluate(CUT_OFF) == []
        assert seen.page.evaluate(OVERLAPS) == []
        assert seen.page.evaluate(OUTSIDE) == []
        if name != "large":
            violations = Axe().run(seen.page)["violations"]
            assert [v["id"] for v in violations if v["impact"] in SERIOUS] == []


def shown(seen: Visit, selector: str) -> list[list[float]]:
    """The numbers along x that a plot has drawn."""
    found: list[list[float]] = seen.page.evaluate(
        "selector => document.querySelector(selector).data.map(trace => [...trace.x])", selector
    )
    return found


@needs_browser
def test_figures_are_those_of_the_json(
    browser: Any, pages: dict[str, Path], reports: dict[str, Report]
) -> None:
    with visit(browser, pages["analysis"], 1280, "light") as seen:
        data = reports["analysis"].data
        by_kind = {
            kind: [p["added_macs"] for p in data["points"] if p["kind"] == kind]
            for kind in ("block", "bottleneck")
        }
        assert shown(seen, "#plot-0-1") == [by_kind["block"], by_kind["bottleneck"]]
        document = json.loads(seen.page.inner_text("#bamctl-pages") or "null") or json.loads(
            seen.page.text_content("#bamctl-pages")
        )
        assert document[0]["report"]["data"] == json.loads(json.dumps(data))
    with visit(browser, pages["check"], 1280, "light") as seen:
        parts = [c["value"] / c["limit"] for c in reports["check"].data["checks"]]
        assert shown(seen, "#plot-0-0") == [pytest.approx(parts)]
    with visit(browser, pages["training"], 1280, "light") as seen:
        (comparison,) = reports["training"].data["comparisons"]
        assert shown(seen, "#plot-0-1") == [[pytest.approx(comparison["delta_mean"])]]
        # A band and a line for each arm.
        curves = shown(seen, "#plot-0-0")
        assert curves[1] == [
            point["step"] for point in reports["training"].data["arms"][0]["curve"]
        ]


@needs_browser
def test_hovering_tells_and_the_legend_hides(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["analysis"], 1280, "light") as seen:
        # The last stage's end is alone in its corner.
        seen.page.locator("#plot-0-1 .scatterlayer .trace").nth(1).locator(".point").last.hover(
            force=True
        )
        seen.page.wait_for_selector("#plot-0-1 .hovertext")
        assert "parameters" in seen.page.text_content("#plot-0-1 .hovertext")
        visible = "document.querySelector('#plot-0-1').data[0].visible"
        seen.page.locator("#plot-0-1 .legendtoggle").first.click()
        seen.page.wait_for_function(f"{visible} === 'legendonly'")
        first = seen.page.locator(".network .site title").first.text_content()
        assert first.startswith("features.3: +170 parameters, +134,896 MACs")


@needs_browser
@pytest.mark.parametrize("name", ["analysis", "latency", "check", "training", "search", "inserted"])
def test_the_network_is_drawn_with_its_sites(
    browser: Any, pages: dict[str, Path], name: str
) -> None:
    with visit(browser, pages[name], 1280, "light") as seen:
        first = seen.page.locator(".network .site title").first.text_content()
        assert re.fullmatch(r"[\w.]+: \+[\d.,]+( [kM])? parameters, \+[\d.,]+ [kMG]?MACs", first)


@needs_browser
def test_a_point_opens_its_placement(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["training"], 1280, "light") as seen:
        placement = seen.page.locator("details", has_text="where")
        assert placement.get_attribute("open") is None
        seen.page.locator("#plot-0-1 .scatterlayer .point").first.click(force=True)
        seen.page.wait_for_selector("details[open]")


@needs_browser
def test_markup_in_names_is_text(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["hostile"], 1280, "light") as seen:
        assert seen.page.text_content("h1") == NASTY
        assert seen.page.query_selector("b") is None
        assert seen.page.locator("tbody td").first.text_content() == NASTY
        assert seen.page.text_content("pre") == NASTY
        assert seen.page.locator(".network .site title").text_content() == f"{NASTY}: {NASTY}"
        legend = seen.page.locator("#plot-0-1 .legendtext").first.text_content()
        assert legend.startswith("<script>")


def test_a_large_page_is_no_larger_than_a_mail_may_be(pages: dict[str, Path]) -> None:
    assert pages["large"].stat().st_size < 8_000_000


def test_pages_are_read_back_and_joined(pages: dict[str, Path], reports: dict[str, Report]) -> None:
    (first,), (second,) = html.read_pages(pages["hostile"]), html.read_pages(pages["check"])
    assert first.report.heading == NASTY
    assert html.render_pages([first]) == pages["hostile"].read_text(encoding="utf-8")
    joined = pages["check"].with_name("joined.html")
    joined.write_text(html.render_pages([first, second]), encoding="utf-8")
    assert [page.report.heading for page in html.read_pages(joined)] == [
        NASTY,
        reports["check"].heading,
    ]


def test_what_is_no_page(tmp_path: Path, pages: dict[str, Path]) -> None:
    (tmp_path / "other.html").write_text("<html></html>")
    with pytest.raises(InputError, match="is not a bamctl report"):
        html.read_pages(tmp_path / "other.html")
    with pytest.raises(InputError, match=r"report\.html: cannot be read: No such file"):
        html.read_pages(tmp_path)
    (tmp_path / "bytes.html").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not text"):
        html.read_pages(tmp_path / "bytes.html")
    text = pages["check"].read_text()
    (tmp_path / "cut.html").write_text(text[: text.index('id="bamctl-pages"') + 200])
    with pytest.raises(InputError, match=r"damaged"):
        html.read_pages(tmp_path / "cut.html")
