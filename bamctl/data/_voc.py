"""The user's images in the layout of PASCAL VOC: `JPEGImages`, `Annotations`, `ImageSets`.

Splits are the lists in `ImageSets/Segmentation` or `ImageSets/Main`; without lists all annotated
images are for training. Segmentation reads `SegmentationClass`, whose classes are VOC's, or those
of a `labelmap.txt` as CVAT writes it. Objects that VOC calls difficult count as any other.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from xml.etree import ElementTree

from bamctl.data._files import kept
from bamctl.data._maps import Colour, maps
from bamctl.data._objects import Box, Marked, box_fault, objects
from bamctl.data._samples import Samples, check_channels
from bamctl.data._source import Source, Wanted
from bamctl.data._torchvision_sets import how_to_get, prepare
from bamctl.errors import InputError, check_machine, first_line
from bamctl.files.atomic import check_can_read

CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor".split()
)
_IMAGES, _BOXES, _MASKS = "JPEGImages", "Annotations", "SegmentationClass"
_SIDES, _ENDS = ("width", "height"), ("xmin", "ymin", "xmax", "ymax")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


def read(wanted: Wanted, folder: Path) -> Source:
    """Return the splits of a folder.

    Raises:
        InputError: the folder has another layout, or an image or annotation is faulty and is not
            to be skipped.
    """
    check_channels(wanted.name, (wanted.extents or wanted.usual)[0])
    needed = _MASKS if wanted.task == "segmentation" else _BOXES
    for part in (_IMAGES, needed):
        if not (folder / part).is_dir():
            raise InputError(
                f"there is no folder {folder / part}; pass one as VOC2012 as --data voc:PATH"
            )
    splits = _lists(wanted, folder, needed)
    return (_segmented if wanted.task == "segmentation" else _boxed)(wanted, folder, splits)


def read_2012(wanted: Wanted, name: str) -> Source:
    """Return VOC 2012 from the folder of torchvision's sets, downloaded there if requested.

    Args:
        wanted: the request.
        name: `VOCSegmentation` or `VOCDetection`.

    Raises:
        InputError: it does not exist and was not downloaded, or cannot be read.
    """
    import torchvision

    folder = wanted.root / "VOCdevkit" / "VOC2012"
    if not folder.is_dir():
        prepare(wanted, name)
        try:
            getattr(torchvision.datasets, name)(wanted.root, download=wanted.download)
        except (RuntimeError, OSError) as error:
            raise InputError(how_to_get(wanted, name, {}, error)) from error
    return read(wanted, folder)


def _lists(wanted: Wanted, folder: Path, needed: str) -> dict[str, list[str]]:
    """Return the names of the images of each split, without their suffixes."""
    lists = folder / "ImageSets" / ("Segmentation" if wanted.task == "segmentation" else "Main")
    found = {}
    for split in ("train", "val", "test"):
        file = lists / f"{split}.txt"
        if file.is_file():
            check_can_read(file)
            lines = file.read_text("utf-8", "surrogateescape").splitlines()
            found[split] = [line.split()[0] for line in lines if line.split()]
    if "train" not in found:
        every = sorted(path.stem for path in (folder / needed).iterdir() if path.is_file())
        others = {name for names in found.values() for name in names}
        found["train"] = [name for name in every if name not in others]
    return found


def _image(folder: Path, name: str) -> tuple[Path, str | None]:
    """Return the file of an image, and what is wrong with it."""
    paths = [folder / _IMAGES / f"{name}{suffix}" for suffix in _SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    return (path, None) if path is not None else (paths[0], f"the image {paths[0]} is missing")


def _segmented(wanted: Wanted, folder: Path, splits: dict[str, list[str]]) -> Source:
    colours = _label_map(folder / "labelmap.txt")
    classes = tuple(colours) or ("background", *CLASSES)

    def pairs(names: list[str]) -> Iterator[tuple[tuple[Path, Path], str | None]]:
        for name in names:
            path, fault = _image(folder, name)
            mask = folder / _MASKS / f"{name}.png"
            if fault is None and not (mask.is_file() and mask.stat().st_size):
                fault = f"the mask {mask} is {'empty' if mask.is_file() else 'missing'}"
            yield (path, mask), fault

    def split(name: str) -> tuple[Samples, tuple[str, ...]]:
        good, faults = kept(wanted, f"images of {name} in {folder}", pairs(splits[name]))
        return maps(wanted, good, len(classes), tuple(colours.values())), faults

    return _source(split, splits, classes)


def _label_map(file: Path) -> dict[str, Colour]:
    """Return the classes of CVAT's file, which has lines as `cat:64,0,0::`; none without a file.

    Raises:
        InputError: a line has another form.
    """
    if not file.is_file():
        return {}
    check_can_read(file)
    found: dict[str, Colour] = {}
    for number, line in enumerate(file.read_text("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *others = line.split(":")
        try:
            red, green, blue = map(int, others[0].split(","))
        except (IndexError, ValueError) as error:
            raise InputError(f"{line!r} is not as cat:64,0,0::", path=file, line=number) from error
        found[name] = (red, green, blue)
    return found


@dataclass(frozen=True)
class _Annotated:
    """An image with the names and boxes of its objects, and what is wrong with it."""

    path: Path
    names: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    fault: str | None = None

    def marked(self, classes: tuple[str, ...]) -> tuple[Marked, str | None]:
        """Return the objects with numbers of classes, and what is wrong with them."""
        unknown = [name for name in self.names if name not in classes]
        if self.fault or unknown:
            return Marked(self.path), self.fault or f"{self.path}: unknown class {unknown[0]!r}"
        labels = [classes.index(name) + 1 for name in self.names]
        return Marked(self.path, self.boxes, labels, [0] * len(labels)), None


def _boxed(wanted: Wanted, folder: Path, splits: dict[str, list[str]]) -> Source:
    def annotated(name: str) -> list[_Annotated]:
        return [_annotated(folder, each) for each in splits[name]]

    found: dict[str, list[_Annotated]] = {
        name: annotated(name) for name in ("train", "val") if name in splits
    }
    classes = _classes({name for each in found.values() for one in each for name in one.names})

    def split(name: str) -> tuple[Samples, tuple[str, ...]]:
        read_before = found.get(name) or annotated(name)
        marked = (each.marked(classes) for each in read_before)
        good, faults = kept(wanted, f"images of {name} in {folder}", marked)
        return objects(wanted, good), faults

    return _source(split, splits, classes)


def _source(
    split: Callable[[str], tuple[Samples, tuple[str, ...]]],
    splits: Container[str],
    classes: tuple[str, ...],
) -> Source:
    train, skipped = split("train")
    held_out, more = split("val") if "val" in splits else (None, ())
    test = (lambda: split("test")[0]) if "test" in splits else None
    return Source(train, held_out, test, classes, skipped + more)


def _classes(names: set[str]) -> tuple[str, ...]:
    """Return VOC's classes if they hold all names, else the names in order."""
    return CLASSES if names <= set(CLASSES) else tuple(sorted(names))


def _annotated(folder: Path, name: str) -> _Annotated:
    path, fault = _image(folder, name)
    file = folder / _BOXES / f"{name}.xml"
    if fault is None and not file.is_file():
        fault = f"the annotation {file} is missing"
    if fault is not None:
        return _Annotated(path, fault=fault)
    try:
        root = ElementTree.parse(file).getroot()
        # Some tools leave the size out or write 0; that of the image is checked when it is read.
        width, height = (float(root.findtext(f"size/{side}") or 0) or inf for side in _SIDES)
        found = [_named_box(each) for each in root.iter("object")]
    except (OSError, SyntaxError, ValueError) as error:
        check_machine(error, f"cannot read {file}")
        return _Annotated(path, fault=f"{file}: malformed: {first_line(error)}")
    names, boxes = tuple(each for each, _ in found), tuple(box for _, box in found)
    faults = filter(None, (box_fault(box, width, height) for box in boxes))
    fault = next((f"{file}: {each}" for each in faults), None)
    return _Annotated(path, names, boxes, fault)


def _named_box(thing: ElementTree.Element) -> tuple[str, Box]:
    """Return the class and the box of an object; VOC counts pixels from 1, both ends included."""
    left, top, right, bottom = (float(thing.findtext(f"bndbox/{end}") or "nan") for end in _ENDS)
    name = (thing.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    return name, (left - 1, top - 1, right, bottom)
