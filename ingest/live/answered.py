"""What senders were answered under their keys, in the database: it outlives the process, and is for all processes."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence

from ingest.live.inbox import DeliveryAnswer, KeptAnswer
from store.arrivals import FinishedArrival
from store.database import Connection
from store.push_answers import PushAnswer, find_answers, keep_answers, prune_answers

_PRUNE_EACH = 10_000


class AnsweredKeys:
    """Implements `Arrivals` for a source whose senders give keys: answers are kept before they are given.

    The log has the readings a moment earlier. A process that ends in between has kept nothing, so what its sender
    repeats is sent again, and counts once (R6). `to_keep` gives the answers by their keys.
    """

    def __init__(self, connection: Connection, source: str, to_keep: Callable[[], Mapping[str, KeptAnswer]]) -> None:
        self._connection = connection
        self._source = source
        self._to_keep = to_keep
        self._kept = 0

    def find(self, keys: Collection[str]) -> Mapping[str, KeptAnswer]:
        """The answers under those of these keys that have one."""
        found = find_answers(self._connection, self._source, keys)
        return {
            key: KeptAnswer(
                kept.body, DeliveryAnswer(True, "", [tuple(r) for r in json.loads(kept.refused)], kept.count)
            )
            for key, kept in found.items()
        }

    def is_done(self, source: str, checksum: bytes) -> bool:
        """No: a delivery without a key is another one, whatever it holds."""
        del source, checksum
        return False

    def record(self, source: str, done: Sequence[FinishedArrival]) -> None:
        """Keep the answers that have keys."""
        del source, done
        answers = {
            key: PushAnswer(kept.checksum, json.dumps(list(kept.answer.refused)), kept.answer.count)
            for key, kept in self._to_keep().items()
        }
        if answers:
            keep_answers(self._connection, self._source, list(answers.items()))
            self._kept += len(answers)
        if self._kept >= _PRUNE_EACH:
            self.prune(self._source, ())

    def prune(self, source: str, present: Collection[str]) -> None:
        """Forget what is too old, and the oldest of too many."""
        del source, present
        self._kept = 0
        prune_answers(self._connection, self._source)
