"""The README's pictures, made by the commands themselves: `python -m tests.pictures`."""

import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

from tests import readme
from tests.conftest import REPOSITORY
from tests.report.browser import launched, visit

FOLDER = REPOSITORY / ".github" / "images"


def photograph_page(folder: Path) -> None:
    """The upper part of a page, as a person sees it."""
    readme.run("bamctl analyze resnet50 --format html --output analyze.html", folder)
    with launched() as browser, visit(browser, folder / "analyze.html", 960, "light") as seen:
        path = FOLDER / "analyze.png"
        seen.page.screenshot(path=path, clip={"x": 0, "y": 0, "width": 960, "height": 840})
    _reduce(path)


def photograph_attention(folder: Path) -> None:
    """A photograph that scikit-learn ships, and what modules of random weights make of it."""
    Image.fromarray(load_sample_image("flower.jpg")).save(folder / "flower.jpg")
    readme.run(f"bamctl attend resnet18 flower.jpg --out {FOLDER / 'attend.png'}", folder)
    _reduce(FOLDER / "attend.png")


def _reduce(path: Path) -> None:
    """In 256 colours a picture is a third as large, and looks the same."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256)
    small.save(path, optimize=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        photograph_page(Path(folder))
        photograph_attention(Path(folder))


if __name__ == "__main__":
    main()
