"""Frames of video files, decoded by PyAV."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bamctl.errors import InputError, check_machine, described, first_line
from bamctl.files.atomic import check_can_read

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError(
            "reading videos needs PyAV: pip install 'bamctl[video]', or pass folders of frames "
            f"({first_line(error)})"
        ) from error
    return av


def has_video(path: Path) -> bool:
    """Return whether the first frame of a file can be decoded.

    Raises:
        InputError: PyAV is not installed.
    """
    av = _av()
    try:
        check_can_read(path)
        with av.open(str(path)) as container:
            return next(container.decode(video=0), None) is not None
    except Exception as error:  # FFmpeg's errors, and IndexError without a stream of images
        check_machine(error, f"cannot read {path}")
        return False


def frames(path: Path, times: Callable[[int], Sequence[int]]) -> list["Image"]:
    """Return frames of a video, decoded from its beginning.

    Args:
        path: the file.
        times: returns which frames are read, in order, for the number of frames.

    Raises:
        InputError: the file cannot be decoded, or PyAV is not installed.
    """
    av = _av()
    check_can_read(path)
    try:
        with av.open(str(path)) as container:
            return _chosen(container, times)
    except InputError:
        raise
    except Exception as error:  # FFmpeg's errors
        check_machine(error, f"cannot read {path}")
        raise InputError(described(error)) from error


def _chosen(container: Any, times: Callable[[int], Sequence[int]]) -> list["Image"]:
    total = sum(1 for _ in container.decode(video=0))
    if not total:
        raise InputError("it has no frames")
    chosen = list(times(total))
    container.seek(0)
    found = {
        number: frame.to_image()
        for number, frame in enumerate(container.decode(video=0))
        if number in chosen
    }
    return [found[number] for number in chosen]
