"""How long a browser takes for the page of a study of 2,000 trials, from its address to drawn.

`python -m tests.benchmarks.page` prints its size, and the median and the most of seven times.
"""

import statistics
import tempfile
import time
from pathlib import Path

from bamctl.report.formats import html
from tests.nas.test_result import search_of_a_table
from tests.report.browser import launched, visit
from tests.report.test_html import large

RUNS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        page = Path(folder) / "page.html"
        report = large(search_of_a_table(Path(folder)))
        page.write_text(html.render(report, to_file=True), encoding="utf-8")
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            with visit(browser, page, 1280, "light"):
                times.append(time.perf_counter() - start)
        print(f"{page.stat().st_size / 1e6:.2f} MB")
        print(f"median {statistics.median(times):.2f} s, at most {max(times):.2f} s")


if __name__ == "__main__":
    main()
