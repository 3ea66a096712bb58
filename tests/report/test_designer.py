"""The page to place modules with, in a browser: what it writes has the figures that it shows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bamctl import Placement
from bamctl.analysis.palette import Palette, palette
from bamctl.attention.kinds import KINDS, attention
from bamctl.budgets.figures import figures_of, price
from bamctl.cli.app import run
from bamctl.placement.cost import site_cost
from bamctl.placement.sites import resolve
from bamctl.report.charts.designer import designer
from bamctl.report.document import Report
from bamctl.report.formats import html
from bamctl.trunk.traced import TracedNetwork
from tests.report.browser import CUT_OFF, Visit, launched, needs_browser, visit

NETWORKS = {
    "resnet50": "3x64x64",
    "mobilenet_v2": "3x64x64",
    "swin_t": "3x64x64",
    "fasterrcnn_resnet50_fpn": "3x96x96",
    "tests.networks:Unseen": "3x32x32",
}
METRICS = ("params", "macs", "memory")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


_known: dict[str, Palette] = {}


def of(name: str) -> Palette:
    """The palette of a network, priced once for all tests."""
    if name not in _known:
        placement = Placement(model=name, input=NETWORKS[name])
        _known[name] = palette(TracedNetwork.load(placement), [placement.attention])
    return _known[name]


def page(name: str, folder: Path, placement: Placement | None = None) -> Path:
    """A page that begins with a placement, the bottlenecks if it is left out."""
    given = placement or Placement(model=name, input=NETWORKS[name])
    found = of(name)
    sites = resolve(given, found.traced.trunk)
    chart = designer(found, given.spec, given.attention, sites)
    path = folder / "page.html"
    path.write_text(html.render(Report(name, [], {}, charts=[chart]), to_file=True))
    return path


def shown(seen: Visit) -> dict[str, int]:
    """The figures that the page shows."""
    return {
        name: int(seen.page.get_attribute(f"td[data-metric={name}]", "data-value"))
        for name in METRICS
    }


def saved(seen: Visit, folder: Path) -> Path:
    """The file that the page saves."""
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def priced(name: str, file: Path) -> dict[str, int]:
    """The figures of a placement file, as `check` takes them."""
    found = figures_of(price(of(name).traced, Placement.load(file)), METRICS)
    return {metric: found[metric].value for metric in METRICS}


@needs_browser
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_designed_is_what_is_checked(browser: Any, name: str, tmp_path: Path) -> None:
    blocks = [place for place in of(name).places if "block" in place.strategies]
    first, second, third = (place.point.module for place in blocks[:3])
    with visit(browser, page(name, tmp_path), 1280, "light") as seen:
        at = seen.page
        at.get_by_role("button", name="block", exact=True).click()
        for module in (first, second):
            at.locator(f'[data-module="{module}"]').click()
        at.get_by_label("Settings of").select_option(third)
        at.get_by_label("reduction").select_option("4")
        before = shown(seen)
        at.get_by_label("Settings of").select_option("all sites")
        at.get_by_label("init").select_option("identity")
        assert shown(seen)["params"] == before["params"] + len(blocks) - 2
        at.get_by_role("button", name="Undo").click()
        assert shown(seen) == before
        at.get_by_label("Budget of parameters").fill("+0.001 %")
        at.get_by_label("Budget of MACs").fill("900 GMACs")
        at.get_by_label("Budget of MACs").press("Enter")
        at.get_by_label("File").click()
        assert "Over the budget: parameters." in at.get_by_role("status").first.text_content()
        file = saved(seen, tmp_path)
        placement = Placement.load(file)
        assert priced(name, file) == before
        assert [site.name for site in resolve(placement, of(name).traced.trunk)] == [
            place.point.module for place in blocks[2:]
        ]
        assert placement.insertions[third].reduction == 4
        assert placement.budget.macs.max == "900 GMACs"
        assert seen.complaints == []
        assert [
            url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))
        ] == []


@needs_browser
def test_the_check_reads_what_the_page_writes(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    name = "mobilenet_v2"
    with visit(browser, page(name, tmp_path), 390, "dark") as seen:
        for label, limit in (("parameters", "+1 %"), ("MACs", "+0.01 %"), ("memory", "1 GiB")):
            seen.page.get_by_label(f"Budget of {label}").fill(limit)
            seen.page.get_by_label(f"Budget of {label}").blur()
        file, figures = saved(seen, tmp_path), shown(seen)
        over = seen.page.locator("tr.bad th").all_text_contents()
    monkeypatch.chdir(tmp_path)
    assert run(["check", str(file), "--format", "json"]) == 1
    checks = {each["metric"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert {metric: checks[metric]["value"] for metric in METRICS} == figures
    assert [checks[metric]["passed"] for metric in METRICS] == [True, False, True]
    assert over == ["MACs"]


@needs_browser
def test_all_of_it_by_keyboard(browser: Any, tmp_path: Path) -> None:
    name = "tests.networks:Unseen"
    with visit(browser, page(name, tmp_path), 1280, "light") as seen:
        press = seen.page.keyboard.press

        def tab_to(text: str) -> None:
            for _ in range(80):
                press("Tab")
                focused = seen.page.evaluate(
                    "(e => e.getAttribute('aria-label') || e.closest('label')?.textContent"
                    " || e.textContent)(document.activeElement)"
                )
                if focused.startswith(text):
                    return
            raise AssertionError(text)

        tab_to("none")
        press("Enter")
        tab_to("alpha.0")
        press("Space")
        press("ArrowRight")
        press("Enter")
        placed = seen.page.locator(".cell-button[aria-pressed=true]")
        assert placed.evaluate_all("all => all.map(e => e.dataset.module)") == ["alpha.0", "alpha"]
        tab_to("reduction")
        press("End")
        assert "reduction: 32" in seen.page.locator("pre").first.text_content()
        tab_to("Budget of parameters")
        seen.page.keyboard.type("nonsense")
        press("Tab")
        assert "write it like 26 M or +2 %" in seen.page.locator(".totals").text_content()
        assert "budget" not in seen.page.locator("pre").first.text_content()
        tab_to("Undo")
        press("Enter")
        assert seen.page.get_by_label("Budget of parameters").input_value() == ""
        press("Control+z")
        assert "reduction" not in seen.page.locator("pre").first.text_content()


@needs_browser
def test_it_begins_with_a_placement_and_shows_other_maps_when_asked(
    browser: Any, tmp_path: Path
) -> None:
    name = "resnet50"
    placement = Placement(
        model=name,
        input=NETWORKS[name],
        where=["layer2", "layer1.0.bn3"],
        attention={"reduction": 8},
        insertions={"layer1.0.bn3": {"module": "se"}},
    )
    with visit(browser, page(name, tmp_path, placement), 390, "light") as seen:
        from axe_core_python.sync_playwright import Axe

        rows = seen.page.locator(".scroll table").last.locator("tbody tr")
        assert rows.all_text_contents()[0].startswith("layer1.0.bn3se")
        assert not seen.page.locator('[data-module="layer1.1.bn3"]').is_visible()
        seen.page.get_by_label("branch ends and levels").check()
        assert seen.page.locator('[data-module="layer1.1.bn3"]').is_visible()
        seen.page.get_by_label("other outputs").check()
        assert seen.page.locator('[data-module="layer1.0.bn1"]').is_visible()
        assert priced(name, saved(seen, tmp_path)) == shown(seen)
        assert seen.page.evaluate(CUT_OFF) == []
        violations = Axe().run(seen.page)["violations"]
        assert [v["id"] for v in violations if v["impact"] in SERIOUS] == []


@pytest.mark.parametrize("kind", KINDS)
def test_costs_of_every_choice_are_those_of_the_module(kind: str) -> None:
    found = of("tests.networks:Unseen")
    place = next(each for each in found.places if "block" in each.strategies)
    priced_options = [option for option in found.options[kind] if option.is_priced]
    others = {o.name: o.choices[-1] for o in found.options[kind] if not o.is_priced}
    last = {option.name: option.choices[-1] for option in priced_options}
    for chosen, cost in (
        (others, place.costs[kind][0]),
        ({**others, **last}, place.costs[kind][-1]),
    ):
        settings = attention(module=kind, **chosen)
        site = KINDS[kind].fit(place.point, settings, found.traced.trunk)
        assert cost == site_cost(site, found.traced)


def test_analyze_begins_with_a_placement_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(
        "model: resnet18\ninput: 3x64x64\nwhere: [layer1, layer3]\n"
        "insertions: {layer3: {reduction: 12}}\n"
    )
    arguments = ["analyze", "--placement", "p.yaml", "--no-cache"]
    assert run([*arguments, "--format", "html", "--output", "p.html"]) == 0
    (shown_page,) = html.read_pages(Path("p.html"))
    (chart,) = [each for each in shown_page.report.charts if each.type == "designer"]
    assert {k: chart.data["chosen"][n]["reduction"] for k, n in chart.data["start"].items()} == {
        "layer1": 16,
        "layer3": 12,
    }
    # A reduction that no search would try is a choice all the same.
    choices = dict(option[:2] for option in chart.data["kinds"]["bam"]["options"])
    assert 12 in choices["reduction"]
    assert chart.data["latency"]["device"] == "rtx4090"
    Path("p.yaml").write_text("model: resnet18\ninput: 3x64x64\nwhere: [layer1, layer1=se]\n")
    assert run([*arguments, "--format", "html", "--output", "p.html"]) == 2
    assert "one module for each site, and layer1 has several" in capsys.readouterr().err
    for other in ("--all", "--sensitivity"):
        assert run([*arguments, other]) == 2
        assert "cannot be combined" in capsys.readouterr().err
