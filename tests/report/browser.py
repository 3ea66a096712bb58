"""A real browser, and what a person would see in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here")

# It asks nobody for anything that the page did not ask for.
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page in the browser, what it complained of, and what it asked the network for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def visit(browser: Any, path: Path, width: int, scheme: str) -> Iterator[Visit]:
    """A page opened and drawn, at a width and in a colour scheme."""
    size = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    try:
        found = Visit(context.new_page())
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(path.as_uri())
        found.page.wait_for_selector("html[data-ready=true]", timeout=60_000)
        yield found
    finally:
        context.close()


# Boxes of all texts within each picture; two that meet cannot both be read.
OVERLAPS = """() => {
  const found = [];
  for (const picture of document.querySelectorAll(".network, .plot, .rows")) {
    const boxes = [...picture.querySelectorAll("text, .ticks span, .y span:not(.width)")]
      .filter((text) => text.textContent.trim() && getComputedStyle(text).opacity > 0)
      .map((text) => [text.textContent, text.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0);
    boxes.forEach(([first, a], i) => boxes.slice(i + 1).forEach(([second, b]) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 2 && along > 4) found.push(`${first} / ${second}`);
    }));
  }
  return found;
}"""

# Whatever is wider than what holds it, unless that can be scrolled.
CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter((each) => !each.closest("svg") && !each.closest(".scroll, pre, .plot"))
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0)
  .map((each) => each.outerHTML.slice(0, 120))
  .concat(document.documentElement.scrollWidth > innerWidth ? ["the page"] : [])"""

# Texts of a plot that leave it.
OUTSIDE = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const outer = plot.getBoundingClientRect();
  return [...plot.querySelectorAll("text, .ticks span, .y span")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width > 0 && (box.left < outer.left - 2 || box.right > outer.right + 2);
  }).map((text) => text.textContent);
})"""
