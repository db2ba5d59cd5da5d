"""What Python does for a message does not depend on how many readings it holds: only numpy sees rows."""

import numpy as np

from processors.reading_fold import ReadingFoldFactory
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.processing import Position
from tests.calls import calls
from tests.processors.logs import T0
from tests.processors.test_reading_fold import ENERGY, MINUTE, ZONE, batch, tick

TOPIC = live("isfahan", ENERGY)


def calls_of(rows: int) -> int:
    draw = np.random.default_rng(rows)
    messages = 7  # so many that their rows are read at once, also with 5,000 each
    records = []
    for number in range(messages):
        sources = draw.choice(1_000_000, rows, replace=False).tolist()
        off = draw.integers(0, MINUTE, rows).tolist()
        again = [(sources[0], sources[0], off[0], 5, 1)]
        records.append(batch(number, *((of, of, late, 9, 1) for of, late in zip(sources, off, strict=True)), *again))
    ended = tick(messages, T0 + 180 * MINUTE)
    fold = ReadingFoldFactory({TOPIC: metrics_of(ENERGY)}, ZONE).create(
        TOPIC, Position(), lambda first, until: frozenset(), gap=False
    )
    fold.feed(records[:1])  # the first message of a key is parsed as a whole

    def work() -> None:
        fold.feed(records[1:])
        fold.feed([ended])
        assert fold.step().position.account.aggregated == messages * rows

    return calls(work)


def test_a_message_of_5000_rows_takes_as_many_calls_as_one_of_70():
    calls_of(70)  # what is imported and cached once; counts of either take two bytes
    assert calls_of(70) == calls_of(5_000)
