"""Messages of a topic as a file format: what each says, by another format, with offsets as positions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.files.pieces import MOST_OUTCOMES, FilePiece, Readings, outcomes_of, pieces
from ingest.files.reading import KEPT_BYTES, FileFormat, Note, NotSuchFile, Outcome
from ingest.files.reasons import LOST, NOT_IN_SCHEMA, TOO_LONG, UNREADABLE
from ingest.live.topics.avro_schema import NotInSchema
from ingest.live.topics.frames import FrameKind, MessageFrame, read_frames
from store.deliveries import Refused

Line = Callable[[bytes], bytes]
"""A message's value as JSON on a line. Raises `NotInSchema`."""


def json_line(content: bytes) -> bytes:
    """A value that is JSON. A line end may stand in JSON wherever a blank may."""
    return content.replace(b"\n", b" ").replace(b"\r", b" ")


@dataclass(frozen=True, slots=True)
class TopicMessages:
    """Implements `FileFormat` and `ColumnFormat`: a file is frames, a message is a line of `form`, as `line` makes it.

    A position is the message's offset, or that times `places` plus a number, where `form` gives several readings for
    a line. A dead letter holds the message as it is.
    """

    form: FileFormat
    line: Line
    places: int = 1

    @property
    def dataset(self) -> str:
        """That of the form."""
        return self.form.dataset

    @property
    def noun(self) -> str:
        """That of the form."""
        return self.form.noun

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes one by one."""
        return outcomes_of(self.pieces(path))

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        """The outcomes as columns, without notes: each delivery would repeat them."""
        written, refused = self._written(path)
        if refused:
            yield FilePiece([], refused)
        lines = path.with_name(f"{path.name}.lines")
        try:
            found = [piece for piece in pieces(self.form, lines, MOST_OUTCOMES) if isinstance(piece, FilePiece)]
        except NotSuchFile:
            yield FilePiece([], [_refused(frame, UNREADABLE, self.places) for frame in written])
            return
        finally:
            lines.unlink()
        offsets = np.array([frame.offset for frame in written], np.int64)
        for piece in found:
            of_lines = [self._of_line(item, written) for item in piece.refused]
            of_readings = [self._of_lines(readings, offsets, written) for readings in piece.readings]
            yield FilePiece(of_readings, of_lines, piece.empty)

    def _written(self, path: Path) -> tuple[Sequence[MessageFrame], Sequence[Refused]]:
        """The messages that are lines now, in a file beside this one, and what can be none."""
        written: list[MessageFrame] = []
        refused: list[Refused] = []
        with path.with_name(f"{path.name}.lines").open("wb") as file:
            for frame in read_frames(path):
                if frame.kind is not FrameKind.VALUE:
                    refused.append(_refused(frame, LOST if frame.kind is FrameKind.SKIPPED else TOO_LONG, self.places))
                    continue
                try:
                    line = self.line(frame.content)
                except NotInSchema:
                    refused.append(_refused(frame, NOT_IN_SCHEMA, self.places))
                    continue
                if line.strip():
                    written.append(frame)
                    file.write(line + b"\n")
                else:
                    refused.append(_refused(frame, UNREADABLE, self.places))
        return written, refused

    def _of_line(self, refused: Refused, written: Sequence[MessageFrame]) -> Refused:
        line, place = divmod(refused.position, self.places)
        frame = written[line - 1]
        return replace(_refused(frame, refused.reason, self.places), position=frame.offset * self.places + place)

    def _of_lines(self, readings: Readings, offsets: NDArray[np.int64], written: Sequence[MessageFrame]) -> Readings:
        line, place = np.divmod(readings.position, self.places)
        return replace(
            readings,
            position=offsets[line - 1] * self.places + place,
            original=[frame.content[:KEPT_BYTES] for frame in written],
            line=line - 1,
        )


def _refused(frame: MessageFrame, reason: str, places: int) -> Refused:
    return Refused(frame.offset * places, reason, frame.content[:KEPT_BYTES])
