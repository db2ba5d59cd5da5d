"""While a processor folds messages, Python hardly looks for garbage."""

import gc
import subprocess
import sys

from processors.reading_fold import ReadingFoldFactory
from schemas.catalogue import metrics_of
from schemas.topics import live
from store.processing import Position
from tests.processors.logs import T0
from tests.processors.test_reading_fold import ENERGY, MINUTE, ZONE, batch, tick

TOPIC = live("isfahan", ENERGY)
MESSAGES = 5_000


def collections_of_a_fold() -> int:
    """How often Python looks for garbage while it makes the records of 5,000 messages and folds them."""
    seen: list[str] = []

    def note(phase: str, about: object) -> None:
        seen.append(phase)

    gc.callbacks.append(note)
    records = [batch(number, (number, number, 0, 9, 1)) for number in range(MESSAGES)]
    fold = ReadingFoldFactory({TOPIC: metrics_of(ENERGY)}, ZONE).create(
        TOPIC, Position(), lambda first, until: frozenset(), gap=False
    )
    fold.feed(records)
    fold.feed([tick(MESSAGES, T0 + 180 * MINUTE)])
    gc.callbacks.remove(note)
    assert fold.step().position.account.aggregated == MESSAGES
    return len(seen)


def test_five_thousand_messages_are_folded_without_looking_for_garbage():
    program = (
        "from processors.process_memory import collect_rarely\n"
        "from tests.processors.test_garbage import collections_of_a_fold\n"
        "collect_rarely()\nprint(collections_of_a_fold())"
    )
    assert collections_of_a_fold() > 0
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "0\n"
