"""The JSON in which a city's programs send readings (docs/push.md): an object, a list, or an object on each line."""

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np

from ingest.files.clocks import within
from ingest.files.documents import load, read_bounded
from ingest.files.lines import lines
from ingest.files.pieces import FilePiece, Readings, outcomes_of
from ingest.files.reading import KEPT_BYTES, Note, NotSuchFile, Outcome
from ingest.files.reasons import INTERVAL, MISSING, NO_INTERVAL, NUMBER, QUALITY, TIME, UNIT, UNREADABLE
from ingest.tables.units import is_rate, scale, units_of
from schemas.batch import ACTUAL, ESTIMATED
from schemas.catalogue import Metric, catalogue, sent_in
from store.deliveries import Refused
from store.moments import milliseconds

LARGEST = 64 << 20
MOST_OF_A_BODY = 100_000
LONGEST_LINE = 4_096
_KEYS = frozenset(("source", "metric", "start", "interval_s", "value", "unit", "quality"))
_NEEDED = ("source", "metric", "start", "value", "unit")
_QUALITIES: Mapping[object, int] = {"actual": ACTUAL, "estimated": ESTIMATED}
_STEP = 20_000
_MOST = 2**62
_LONGEST_S = 31 * 86_400


class _Wrong(Exception):
    """Why a reading is refused: a reason of `ingest.files.reasons`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What readings of one metric, unit and interval have in common."""

    metric: str
    interval_ms: int
    scale: Fraction


_Row = tuple[int, str, int, int, int, int, bytes]
"""Position, source, start, interval, value, quality, original."""


class SentReadings:
    """Implements `FileFormat` and `ColumnFormat` for the metrics of one dataset.

    Positions are the lines' numbers, or places in a list from 1. A file of more than `most` is refused.
    With `each_line` every line stands by itself, whatever the first is.
    """

    noun = "readings"

    def __init__(self, dataset: str, most: int | None = None, *, each_line: bool = False) -> None:
        self.dataset = dataset
        self._most = most
        self._each_line = each_line
        self._metrics = {metric.name: metric for metric in sent_in(dataset) if units_of(metric)}
        self._kinds: dict[tuple[object, object, object], _Kind] = {}
        self._times: dict[object, int] = {}

    def read(self, path: Path) -> Iterator[Outcome]:
        """The outcomes one by one. Raises `NotSuchFile`."""
        return outcomes_of(self.pieces(path))

    def pieces(self, path: Path) -> Iterator[FilePiece | Note]:
        """The outcomes as columns. Raises `NotSuchFile`."""
        rows: dict[str, list[_Row]] = {}
        refused: list[Refused] = []
        for count, (position, item, original) in enumerate(self._items(path), 1):
            try:
                metric, row = self._row(position, item, original)
                rows.setdefault(metric, []).append(row)
            except _Wrong as wrong:
                refused.append(Refused(position, str(wrong), original))
            if count % _STEP == 0:
                yield _piece(rows, refused)
                rows, refused = {}, []
        yield _piece(rows, refused)

    def _items(self, path: Path) -> Iterator[tuple[int, object, bytes]]:
        return _lines(path, checked=True) if self._each_line else _items(path, self._most)

    def _row(self, position: int, item: object, original: bytes) -> tuple[str, _Row]:
        if not isinstance(item, dict) or not item.keys() <= _KEYS:
            raise _Wrong(UNREADABLE)
        source, value, quality = item.get("source"), item.get("value"), item.get("quality", "actual")
        if any(item.get(key) is None for key in _NEEDED):
            raise _Wrong(MISSING)
        if not isinstance(source, str) or not source:
            raise _Wrong(UNREADABLE)
        code = _QUALITIES.get(quality) if isinstance(quality, str) else None
        if code is None:
            raise _Wrong(QUALITY)
        kind = self._kind(item.get("metric"), item.get("unit"), item.get("interval_s"))
        start = self._start(item["start"])
        return kind.metric, (position, source, start, kind.interval_ms, _whole(value, kind.scale), code, original)

    def _kind(self, name: object, unit: object, interval_s: object) -> _Kind:
        if not isinstance(name, str) or not isinstance(unit, str) or isinstance(interval_s, bool | list | dict):
            raise _Wrong(UNREADABLE)
        found = self._kinds.get((name, unit, interval_s))
        if found is None:
            metric = self._metrics.get(name)
            if metric is None:
                raise _Wrong(UNREADABLE)
            if unit not in units_of(metric):
                raise _Wrong(UNIT)
            length = _interval(metric, unit, interval_s)
            found = _Kind(metric.name, length, scale(metric, unit, length))
            if len(self._kinds) < 1_000:
                self._kinds[name, unit, interval_s] = found
        return found

    def _start(self, written: object) -> int:
        if isinstance(written, int) and not isinstance(written, bool):
            moment = within(written)
        elif isinstance(written, str):
            known = self._times.get(written)
            if known is not None:
                return known
            moment = _moment(written)
        else:
            moment = None
        if moment is None:
            raise _Wrong(TIME)
        if len(self._times) >= 10_000:
            self._times.clear()
        self._times[written] = moment
        return moment


def _interval(metric: Metric, unit: str, seconds: object) -> int:
    if metric.reading == "moment":
        if seconds is not None or is_rate(unit):
            raise _Wrong(INTERVAL)
        return 0
    if seconds is None:
        raise _Wrong(NO_INTERVAL)
    if not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_S or seconds * 1_000 > metric.longest_window_ms:
        raise _Wrong(INTERVAL)
    return seconds * 1_000


def _moment(text: str) -> int | None:
    try:
        when = datetime.fromisoformat(text)
        return within(milliseconds(when)) if when.tzinfo is not None and len(text) < 50 else None
    except (ValueError, OverflowError):
        return None


def _whole(value: object, factor: Fraction) -> int:
    """Smallest units, halves to even; what no metric can be is cut to a bound that stays out of range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(NUMBER)
    if not -(10**20) < value < 10**20:
        return _MOST if value > 0 else -_MOST
    if factor.denominator == 1 and isinstance(value, int):
        whole = value * factor.numerator
    elif factor.denominator == 1:
        with localcontext(prec=60):
            whole = int((Decimal(repr(value)) * factor.numerator).to_integral_value(ROUND_HALF_EVEN))
    else:
        whole = round(Fraction(repr(value)) * factor)
    return min(max(whole, -_MOST), _MOST)


def _items(path: Path, most: int | None) -> Iterator[tuple[int, object, bytes]]:
    """Position, value and, of a line, its bytes. Raises `NotSuchFile` if it is neither JSON nor JSON on each line."""
    with path.open("rb") as file:
        content = read_bounded(file, LARGEST)
        if content is not None and content.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"[", b"{"):
            whole = _whole_document(path, content)
            if most is not None and max(content.count(b"\n{"), len(whole or ())) > most:
                raise NotSuchFile(f"{path.name}: has more than {most} readings")
            if whole is not None:
                yield from ((position, item, _original(item)) for position, item in enumerate(whole, 1))
                return
    yield from _lines(path, checked=False)


def _lines(path: Path, *, checked: bool) -> Iterator[tuple[int, object, bytes]]:
    """Every line; unless `checked`, the first must be an object. Raises `NotSuchFile`."""
    with path.open("rb") as file:
        for line in lines(file, LONGEST_LINE):
            if not line.content.strip():
                continue
            item = _loaded(line.content) if line.whole else None
            if not checked and not isinstance(item, dict):
                raise NotSuchFile(f"{path.name}: is neither JSON nor a JSON object on each line")
            checked = True
            yield line.number, item, line.content[:KEPT_BYTES]
        if not checked:
            raise NotSuchFile(f"{path.name}: is empty")


def _whole_document(path: Path, content: bytes) -> Sequence[object] | None:
    """The objects of a list, or the only one; None if the content may be one object on each line."""
    is_list = content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    if not is_list and b"\n" in content.strip() and isinstance(_loaded(content.lstrip().split(b"\n", 1)[0]), dict):
        return None
    try:
        found = load(content)
    except ValueError as error:
        raise NotSuchFile(f"{path.name}: is not JSON: {error}") from None
    return found if isinstance(found, list) else [found]


def _loaded(content: bytes) -> object:
    try:
        return load(content)
    except ValueError:
        return None


def _original(item: object) -> bytes:
    try:
        return json.dumps(item).encode()[:KEPT_BYTES]
    except RecursionError:
        return b""


def _piece(rows: Mapping[str, Sequence[_Row]], refused: Sequence[Refused]) -> FilePiece:
    return FilePiece([_columns(metric, some) for metric, some in rows.items()], refused)


def _columns(metric: str, rows: Sequence[_Row]) -> Readings:
    position, source, start, interval, value, quality, original = zip(*rows, strict=True)
    return Readings(
        catalogue()[metric].name,
        np.array(position, np.int64),
        source,
        np.array(start, np.int64),
        np.array(interval, np.int64),
        np.array(value, np.int64),
        np.array(quality, np.uint8),
        original,
    )
