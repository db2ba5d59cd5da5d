"""JPEGs of every kind, made by hand where no encoder writes them."""

import cv2
import numpy as np


def scene(height: int = 120, width: int = 160) -> np.ndarray:
    """A picture with much in it, the same every time."""
    noise = np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def jpeg(pixels: np.ndarray | None = None, *options: int) -> bytes:
    done, data = cv2.imencode(".jpg", scene() if pixels is None else pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])
    assert done
    return data.tobytes()


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def resized(data: bytes, height: int, width: int) -> bytes:
    """The same bytes with another size in the frame header."""
    at = header_at(data)
    return data[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 9 :]


def header_at(data: bytes) -> int:
    """Where the frame header is."""
    return next(at for at in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if at >= 0)


def four_inks(grey: np.ndarray) -> bytes:
    """A CMYK JPEG whose four planes are all `grey`, (h, w): one scan each."""
    data = jpeg(grey)
    frame, scan = header_at(data), data.index(b"\xff\xda")
    tables_end = frame + 2 + int.from_bytes(data[frame + 2 : frame + 4], "big")
    coded = data[scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big") : -2]
    planes = b"".join(bytes((number, 0x11, 0)) for number in range(1, 5))
    header = b"\xff\xc0" + (8 + len(planes)).to_bytes(2, "big") + data[frame + 4 : frame + 9] + b"\x04" + planes
    scans = b"".join(b"\xff\xda\x00\x08\x01" + bytes((number, 0, 0, 63, 0)) + coded for number in range(1, 5))
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    return data[:2] + adobe + data[2:frame] + header + data[tables_end:scan] + scans + b"\xff\xd9"


def oriented(data: bytes, orientation: int) -> bytes:
    """The same picture with an Exif orientation (1 to 8; from 5 on the sides change places)."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00" + bytes((orientation, 0, 0))
    body = b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
