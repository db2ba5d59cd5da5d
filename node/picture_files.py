"""An operator's own pictures and videos: read by their contents, not by their file names, in bounded memory."""

from pathlib import Path
from typing import TYPE_CHECKING

from node.wiring import CommandError

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

_LARGEST_FILE = 128 << 20


def read_picture(path: Path) -> "Picture":
    """The pixels of a JPEG, PNG, BMP or WebP, shape (h, w, 3), BGR; transparency is dropped.

    Raises `CommandError` for what is none of these, is damaged, or has more pixels than a camera's picture may have;
    the last by its header, before anything is allocated.
    """
    from processors.plates.jpeg_decoding import decode_picture
    from schemas.pictures import JPEG_SIGNATURE, BadPicture

    data = _contents(path)
    if not data.startswith(JPEG_SIGNATURE[:2]):
        return _other(path.name, data)
    try:
        return decode_picture(data)
    except BadPicture as error:
        raise CommandError(f"{path.name} can't be read: {error.reason}") from error


def open_video(path: Path) -> "cv2.VideoCapture":
    """A video from its beginning. Raises `CommandError` for what is no video, or one of too large frames."""
    import cv2

    from ingest.cameras.sources import MOST_RATE, NoSource, VideoFile

    try:
        VideoFile(path, MOST_RATE)  # it accepts only videos, and nothing that names other files
    except NoSource as error:
        raise CommandError(f"{path.name} is no video that can be read: {error}") from None
    return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)


def _contents(path: Path) -> bytes:
    if not path.is_file():
        raise CommandError(f"{path.name} is no file")
    if path.stat().st_size > _LARGEST_FILE:
        raise CommandError(f"{path.name} is larger than {_LARGEST_FILE >> 20} MB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path.name} can't be read: {error.strerror}") from None


def _other(name: str, data: bytes) -> "Picture":
    import cv2
    import numpy as np

    from ingest.cameras.picture_size import pixel_size
    from processors.plates.jpeg_decoding import TOO_LARGE, ZERO_SIZE
    from schemas.pictures import MOST_PIXELS

    size = pixel_size(data)
    if size is None:
        raise CommandError(f"{name} is no picture that can be read (JPEG, PNG, BMP, WebP)")
    if not 0 < size[0] * size[1] <= MOST_PIXELS:
        raise CommandError(f"{name} can't be read: {TOO_LARGE if size[0] * size[1] else ZERO_SIZE}")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise CommandError(f"{name} can't be read: it is damaged")
    return np.asarray(picture, np.uint8)
