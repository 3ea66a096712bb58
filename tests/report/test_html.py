"""Pages in a real browser: they show what was found, to everybody, and ask nobody for anything."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
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
from bamctl.training.experiment import Experiment
from bamctl.training.samples import load_data
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
    digits = load_data(NetworkSpec(model=MODEL, input="3x32x32"), DataConfig(), "classification")
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


def marks(seen: Visit, plot: str) -> list[list[float]]:
    """The numbers along x of the marks that a plot has drawn, series by series."""
    found: list[list[float]] = seen.page.evaluate(
        "plot => [...document.querySelectorAll(`#${plot} .marks > g`)].map(series => "
        "[...series.querySelectorAll('.mark')].map(mark => Number(mark.dataset.x)))",
        plot,
    )
    return found


def values(seen: Visit, selector: str) -> list[float]:
    """The numbers that bars and dots are drawn for."""
    found: list[float] = seen.page.evaluate(
        "selector => [...document.querySelectorAll(selector)].map(e => Number(e.dataset.value))",
        selector,
    )
    return found


@needs_browser
def test_figures_are_those_of_the_json(
    browser: Any, pages: dict[str, Path], reports: dict[str, Report]
) -> None:
    with visit(browser, pages["analysis"], 1280, "light") as seen:
        data = reports["analysis"].data
        keys = ("added_params", "added_macs", "added_memory_bytes")
        priced = [p for p in data["points"] if p["kind"] in ("block", "bottleneck")]
        rows = [
            (cost, [point["module"] for point in same])
            for cost, same in groupby(priced, key=lambda point: [point[key] for key in keys])
        ]
        assert values(seen, "#plot-0-1 .bar") == [value for cost, _ in rows for value in cost]
        named = seen.page.locator("#plot-0-1 tbody th").evaluate_all("all => all.map(e => e.title)")
        assert named == [", ".join(names) for _, names in rows]
        document = json.loads(seen.page.text_content("#bamctl-pages"))
        assert document[0]["report"]["data"] == json.loads(json.dumps(data))
    with visit(browser, pages["check"], 1280, "light") as seen:
        params, macs, memory = reports["check"].data["checks"]
        relative = [(c["value"] - c["base"]) / (c["limit"] - c["base"]) for c in (params, memory)]
        absolute = [macs["base"] / macs["limit"], macs["value"] / macs["limit"]]
        drawn = values(seen, "#plot-0-0 .track b")
        assert drawn == [pytest.approx(each) for each in (relative[0], *absolute, relative[1])]
    with visit(browser, pages["training"], 1280, "light") as seen:
        (comparison,) = reports["training"].data["comparisons"]
        assert values(seen, "#plot-0-1 .dot") == [pytest.approx(comparison["delta_mean"])]
        arms = reports["training"].data["arms"]
        assert marks(seen, "plot-0-0") == [[p["step"] for p in arm["curve"]] for arm in arms]
    with visit(browser, pages["search"], 1280, "light") as seen:
        trials, front = (reports["search"].data[key] for key in ("trials", "front"))
        on_front = {each["number"] for each in front}
        expected = [
            sorted(
                {
                    (each["added_params"], each["accuracy"])
                    for each in trials
                    if (each["number"] in on_front) == is_front
                }
            )
            for is_front in (False, True)
        ]
        assert marks(seen, "plot-0-0") == [[x for x, _ in series] for series in expected]


@needs_browser
def test_the_answer_is_above_the_pictures(browser: Any, pages: dict[str, Path]) -> None:
    for name, words in (("training", "inconclusive"), ("check", "over"), ("search", "front")):
        with visit(browser, pages[name], 1280, "light") as seen:
            answer = seen.page.locator(".answer")
            assert words in answer.text_content()
            above = answer.bounding_box()["y"]
            assert above < seen.page.locator("figure").first.bounding_box()["y"] < 900
            # Commands are code, and nothing is said twice.
            assert "`" not in seen.page.locator("main").inner_text()
            assert seen.page.locator("main").inner_text().count(words) >= 1


@needs_browser
def test_pointing_tells_and_the_legend_hides(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["training"], 1280, "light") as seen:
        seen.page.locator("#plot-0-0 .mark").first.hover(force=True)
        # Both arms are at this place.
        told = seen.page.text_content("#tip")
        assert "baseline, step 2" in told
        assert "bottleneck, step 2" in told
        drawn = seen.page.locator("#plot-0-0 .lines g").first
        assert drawn.is_visible()
        button = seen.page.locator(".legend button").first
        button.press("Enter")
        assert button.get_attribute("aria-pressed") == "false"
        assert not drawn.is_visible()
    with visit(browser, pages["analysis"], 1280, "light") as seen:
        seen.page.locator(".network .site").first.hover()
        shown = seen.page.text_content("#tip")
        assert shown.startswith("features.3: +170 parameters, +134,896 MACs")


@needs_browser
@pytest.mark.parametrize("name", ["analysis", "latency", "check", "training", "search", "inserted"])
def test_the_network_is_drawn_with_its_sites(
    browser: Any, pages: dict[str, Path], name: str
) -> None:
    with visit(browser, pages[name], 1280, "light") as seen:
        first = seen.page.locator(".network .site").first.get_attribute("data-tip")
        assert re.fullmatch(r"[\w.]+: \+[\d.,]+( [kM])? parameters, \+[\d.,]+ [kMG]?MACs", first)


@needs_browser
def test_a_point_opens_its_placement(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["training"], 1280, "light") as seen:
        placement = seen.page.locator("details", has_text="where")
        assert placement.get_attribute("open") is None
        seen.page.locator("#plot-0-1 li").first.click()
        seen.page.wait_for_selector("details[open]")


@needs_browser
def test_any_trial_of_a_search_is_opened_to_work_on(
    browser: Any, pages: dict[str, Path], reports: dict[str, Report]
) -> None:
    trial = next(t for t in reports["search"].data["trials"] if t["name"].startswith("trial"))
    with visit(browser, pages["search"], 1280, "light") as seen:
        seen.page.locator(".designer select").first.select_option(trial["name"])
        value = seen.page.get_attribute("td[data-metric=params]", "data-value")
        assert int(value) == reports["search"].data["base"]["params"] + trial["added_params"]
        mark = seen.page.locator("#plot-0-0 .mark").last
        mark.click(force=True)
        value = seen.page.get_attribute("td[data-metric=params]", "data-value")
        added = int(mark.get_attribute("data-x"))
        assert int(value) == reports["search"].data["base"]["params"] + added


@needs_browser
def test_paper_is_white(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["check"], 800, "dark") as seen:
        ink = """() => {
          const style = getComputedStyle(document.querySelector(".answer"));
          return [style.color, style.backgroundColor];
        }"""
        assert seen.page.evaluate(ink) == ["rgb(230, 237, 243)", "rgb(28, 34, 41)"]
        seen.page.emulate_media(media="print")
        assert seen.page.evaluate(ink) == ["rgb(0, 0, 0)", "rgb(245, 247, 250)"]


@needs_browser
def test_markup_in_names_is_text(browser: Any, pages: dict[str, Path]) -> None:
    with visit(browser, pages["hostile"], 1280, "light") as seen:
        assert seen.page.text_content("h1") == NASTY
        assert seen.page.locator("b:not(.track b)").count() == 0
        assert seen.page.locator("tbody td").first.text_content() == NASTY
        assert seen.page.text_content("pre") == NASTY
        assert seen.page.locator(".network .site").get_attribute("data-tip") == f"{NASTY}: {NASTY}"
        assert seen.page.locator(".legend button").first.text_content() == NASTY


def test_pages_are_small(pages: dict[str, Path]) -> None:
    assert pages["large"].stat().st_size < 3_000_000
    assert max(path.stat().st_size for name, path in pages.items() if name != "large") < 1_500_000


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
