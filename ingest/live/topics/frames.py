"""The messages of one partition in a file, as they are, each with its offset."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO

_HEAD = struct.Struct(">qBI")


class FrameKind(IntEnum):
    """What a frame holds."""

    VALUE = 0
    """The value of a message."""
    CUT = 1
    """The beginning of a value that is too long."""
    SKIPPED = 2
    """Words on offsets from the frame's own on, which are not read."""


@dataclass(frozen=True, slots=True)
class MessageFrame:
    """A message, or words on offsets that are not read."""

    offset: int
    kind: FrameKind
    content: bytes


def write_frame(file: IO[bytes], frame: MessageFrame) -> None:
    """Append a frame."""
    file.write(_HEAD.pack(frame.offset, frame.kind, len(frame.content)))
    file.write(frame.content)


def read_frames(path: Path) -> Iterator[MessageFrame]:
    """The frames of a file, in its order."""
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            offset, kind, size = _HEAD.unpack(head)
            yield MessageFrame(offset, FrameKind(kind), file.read(size))
