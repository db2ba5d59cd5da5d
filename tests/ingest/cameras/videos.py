"""Videos whose frames tell which they are."""

from pathlib import Path

import cv2
import numpy as np

STEP = 4


def write(path: Path, frames: int = 50, rate: float = 10.0, codec: str = "mp4v") -> Path:
    """A video of 256x96 pixels in which frame n has a bright bar up to column n * STEP."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (256, 96))
    assert writer.isOpened()
    grain = np.random.default_rng(0).integers(0, 30, (96, 256, 3), dtype=np.uint8)
    for number in range(frames):
        frame = grain.copy()
        frame[:, : number * STEP] = 230
        writer.write(frame)
    writer.release()
    return path


def number_in(picture: bytes) -> int:
    """Which frame this is."""
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return round(float((grey.mean(0) > 128).sum()) / STEP)


def promise(data: bytes, frames: int) -> bytes:
    """An AVI whose headers claim another number of frames."""
    main, stream = data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32
    count = frames.to_bytes(4, "little")
    data = data[:main] + count + data[main + 4 :]
    return data[:stream] + count + data[stream + 4 :]
