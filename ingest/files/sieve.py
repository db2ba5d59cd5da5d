"""What an import and a trial of a file have in common: which of its readings would be sent, in the order of time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ingest.files.clashes import Clashes
from ingest.files.ordering import PLACED, Placed, TimeOrder
from ingest.files.pieces import FilePiece, Readings, kept, pieces
from ingest.files.rated import RatedPower
from ingest.files.reading import FileFormat, Note, Parsed
from ingest.files.reasons import OUT_OF_RANGE
from ingest.files.source_codes import SourceCodes
from schemas.catalogue import catalogue
from store.deliveries import Refused

JudgedTogether = Literal["all", "by file", "by reading"]
"""Which readings may contradict each other: those of all files, of each file, or none, where each came by itself."""


class Sieve:
    """Takes files, then gives their readings in the order of time; `refuse` gets the others, by the file's number.

    `read` counts the outcomes, `empty` those that may be empty, by reason; `notes` are the files' own.
    """

    def __init__(
        self, order: TimeOrder, refuse: Callable[[int, Sequence[Refused]], None], judged: JudgedTogether = "all"
    ) -> None:
        self._judged = judged
        self.sources = SourceCodes()
        self.rated = RatedPower(self.sources, by_file=judged == "by file")
        self.read = 0
        self.empty: Counter[str] = Counter()
        self.notes: list[str] = []
        self._order = order
        self._refuse = refuse

    def take(self, form: FileFormat, path: Path, file: int, most: int) -> Iterator[None]:
        """Take a file, and yield after each piece of it: of `most` outcomes, if the format has no pieces of its own.

        Raises `NotSuchFile`.
        """
        for piece in pieces(form, path, most):
            if isinstance(piece, Note):
                self.notes.append(piece.text)
                continue
            self._take(piece, file)
            yield
        if self._judged == "by file":
            self.rated.close(file)

    def ordered(self, most: int) -> Iterator[Placed]:
        """All readings that contradict no other, at most `most` in a step; the others are refused.

        Raises `NotSuchFile` if too many contradict each other.
        """
        if self._judged == "by reading":
            yield from self._order.steps(most)
            return
        if self._judged == "all":
            self.rated.close(0)
        clashes = Clashes(self.sources, self._order.steps(most), by_file=self._judged == "by file")
        for step in self._order.steps(most):
            reasons = clashes.reasons(step)
            if reasons:
                self.refuse(step[list(reasons)], list(reasons.values()))
                sound = np.ones(len(step), np.bool_)
                sound[list(reasons)] = False
                yield step[sound]
            else:
                yield step

    def refuse(self, rows: Placed, reasons: Sequence[str]) -> None:
        """Refuse readings, a reason each."""
        by_file: dict[int, list[Refused]] = defaultdict(list)
        places = zip(*(rows[name].tolist() for name in ("file", "position", "original", "length")), strict=True)
        for (file, position, at, length), reason in zip(places, reasons, strict=True):
            by_file[file].append(Refused(position, reason, self._order.original(at, length)))
        for file, refused in by_file.items():
            self._refuse(file, refused)

    def parsed(self, rows: Placed) -> Sequence[Parsed]:
        """Readings one by one."""
        names = ("position", "source", "start", "interval", "value", "quality", "original", "length")
        return [
            Parsed(
                *(position, self.sources.ids[code], self.sources.metric(code), start, interval, value, quality),
                self._order.original(at, length),
            )
            for position, code, start, interval, value, quality, at, length in zip(
                *(rows[name].tolist() for name in names), strict=True
            )
        ]

    def _take(self, piece: FilePiece, file: int) -> None:
        self.read += len(piece.refused) + sum(map(len, piece.readings)) + sum(piece.empty.values())
        self.empty.update(piece.empty)
        if piece.refused:
            self._refuse(file, piece.refused)
        for readings in piece.readings:
            self._take_readings(readings, file)

    def _take_readings(self, readings: Readings, file: int) -> None:
        rows = np.empty(len(readings), PLACED)
        for name in ("start", "interval", "value", "position", "quality"):
            rows[name] = getattr(readings, name)
        rows["source"] = self.sources.codes(readings.metric, readings.source, len(readings))
        rows["file"] = file
        originals, line = readings.original, readings.line
        metric = catalogue()[readings.metric]
        possible = (readings.value >= metric.minimum) & (readings.value <= metric.maximum)
        if not possible.all():
            places = np.flatnonzero(~possible).tolist()
            of_row = line.tolist() if line is not None else range(len(readings))
            refused = [
                Refused(int(readings.position[place]), OUT_OF_RANGE, kept(originals[of_row[place]])) for place in places
            ]
            self._refuse(file, refused)
            line = (line if line is not None else np.arange(len(readings)))[possible]
            rows = rows[possible]
        if self._judged != "by reading":
            self.rated.add(rows)
        self._order.add(rows, originals, line)
