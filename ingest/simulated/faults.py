"""Faults that a simulated city sends on purpose, and the exact account that the processors must reach."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

import numpy as np

from ingest.batches import Message, ReadingColumns
from schemas.batch import ESTIMATED, MAGIC, PREFIX_BYTES
from store.moments import milliseconds

FAR_FUTURE_MS = milliseconds(datetime(2043, 1, 1, tzinfo=UTC))
NEAR_FUTURE_MS = 10 * 60_000
"""Times of a broken clock: a year far away, and ten minutes ahead of the log's clock (R4 allows five)."""

MOST = 0.1
MOST_BROKEN = 0.005
"""Processors stop a partition at 1 % dead messages within 10,000: at half of that, chance does not reach it."""

_TOO_LONG = 2
"""An interval of so many windows fits into none (R7); readings of a moment must have no interval."""
_UNKNOWN_ID = (2**31 - 1).to_bytes(4, "big")
_ESTIMATE_OFF = 0.9


@dataclass(frozen=True, slots=True)
class FaultRates:
    """The shares of faults, of messages for `repeated` and `broken`, otherwise of readings; 0 is never.

    However few messages there are, at least one is broken unless `broken` is 0. Raises `ValueError` for a share above
    `MOST`, or of broken messages above `MOST_BROKEN`, which could stop a partition.
    """

    repeated: float = 0.005
    broken: float = 0.002
    estimated: float = 0.002
    late: float = 0.001
    future: float = 0.0001
    too_long: float = 0.0001
    invalid: float = 0.0002

    def __post_init__(self) -> None:
        for rate in fields(self):
            limit = MOST_BROKEN if rate.name == "broken" else MOST
            if not 0 <= getattr(self, rate.name) <= limit:
                raise ValueError(f"the rate of {rate.name} must lie between 0 and {limit}")


NO_FAULTS = FaultRates(0, 0, 0, 0, 0, 0, 0)
OFTEN = FaultRates(
    repeated=0.02, broken=MOST_BROKEN, estimated=0.005, late=0.005, future=0.001, too_long=0.001, invalid=0.001
)
"""For streams of a few thousand readings, so that they, too, have faults of every kind."""


@dataclass(frozen=True, slots=True)
class ExpectedReadings:
    """What was sent, ticks included, and the expected outcomes once every window has closed.

    `readings` are those in sound messages, with the `duplicate`, `late` and `rejected` ones among them. `messages`
    include the `dead` ones. `refused` readings became no message.
    """

    messages: int = 0
    readings: int = 0
    duplicate: int = 0
    late: int = 0
    rejected: int = 0
    dead: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Readings in three parts: `now` is sent at once, some of it as estimates whose `actual` values follow; `withheld`
    is sent too late."""

    now: ReadingColumns
    actual: ReadingColumns
    withheld: ReadingColumns


def split(
    readings: ReadingColumns, rates: FaultRates, rng: np.random.Generator, *, revise: bool, withhold: bool
) -> Split:
    """Choose readings to estimate first (if `revise`) and to hold back (if `withhold`), no reading for both."""
    count = len(readings)
    estimates = rng.binomial(count, rates.estimated) if revise else 0
    held = rng.binomial(count, rates.late) if withhold else 0
    chosen = rng.choice(count, estimates + held, replace=False)
    estimated, held_back = np.sort(chosen[:estimates]), np.sort(chosen[estimates:])
    quality, value = readings.quality.copy(), readings.value.copy()
    quality[estimated] = ESTIMATED
    value[estimated] = np.rint(value[estimated] * _ESTIMATE_OFF)
    kept = np.delete(np.arange(count), held_back)
    now = replace(readings, quality=quality, value=value).take(kept)
    return Split(now, readings.take(estimated), readings.take(held_back))


def rejects(
    readings: ReadingColumns, rates: FaultRates, rng: np.random.Generator, clock_ms: int
) -> Sequence[ReadingColumns]:
    """Copies of readings that processors must reject: in the future, too long an interval, no whole value."""

    def some(rate: float) -> ReadingColumns:
        return readings.take(np.sort(rng.choice(len(readings), rng.binomial(len(readings), rate), replace=False)))

    future, too_long, invalid = some(rates.future), some(rates.too_long), some(rates.invalid)
    dates = np.array([FAR_FUTURE_MS, clock_ms + NEAR_FUTURE_MS])
    maximum = float(readings.metric.maximum)
    values = np.array([np.nan, 0.5, np.inf, 2 * maximum, -2 * maximum])
    return (
        replace(future, start=np.resize(dates, len(future))),
        replace(too_long, interval=_TOO_LONG * readings.metric.longest_window_ms),
        replace(invalid, value=np.resize(values, len(invalid))),
    )


def chosen(messages: Sequence[Message], rate: float, rng: np.random.Generator) -> Sequence[Message]:
    """Each message with the probability `rate`."""
    return [messages[index] for index in np.flatnonzero(rng.random(len(messages)) < rate).tolist()]


def broken(message: Message, kind: int) -> Message:
    """A copy that can't be decoded: cut off, of an unknown schema, with a byte too many, or no Avro (`kind` mod 4)."""
    value = message.value
    spoiled = (
        value[: len(value) // 2],
        MAGIC + _UNKNOWN_ID + value[PREFIX_BYTES:],
        value + b"\x00",
        value[:PREFIX_BYTES] + b"\xff" * 12,
    )
    return Message(message.key, spoiled[kind % len(spoiled)], 0, message.start)
