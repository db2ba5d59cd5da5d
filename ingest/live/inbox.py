"""Deliveries that senders bring by themselves: a bounded queue from the thread that receives to the one that sends."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Condition

from prometheus_client import Gauge

from ingest.live.adapter import Delivered
from store.deliveries import Refused

WAITING = Gauge("sistercity_live_waiting", "Requests and messages that the log does not have yet")

MOST_BYTES = 64 << 20
"""Bytes that wait; one delivery is taken however large it is."""
MOST_OF_A_TURN = 100
_ENOUGH = 16
_GATHER_S = 0.02
MOST_TOLD = 100
"""Refused readings of one delivery that its sender is told of; all of them are counted and kept."""


@dataclass(frozen=True, slots=True)
class DeliveryAnswer:
    """What became of a delivery. `taken`: the log has all of it but what was refused.

    Otherwise `words` say why nothing of it can be read; without words the log is away, and it is to be sent again, or,
    with `key_used`, another delivery came under its key. `refused` are positions and reasons, at most `MOST_TOLD`;
    `count` is how many there are.
    """

    taken: bool
    words: str = ""
    refused: Sequence[tuple[int, str]] = ()
    count: int = 0
    key_used: bool = False


AWAY = DeliveryAnswer(taken=False)
KEY_USED = DeliveryAnswer(taken=False, key_used=True)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a delivery with this SHA-256 was answered."""

    checksum: bytes
    answer: DeliveryAnswer


FindAnswers = Callable[[Collection[str]], Mapping[str, KeptAnswer]]
"""The kept answers of those of these keys that have one."""


@dataclass(slots=True)
class _Waiting:
    content: bytes
    name: str
    key: str
    answer: Callable[[DeliveryAnswer], None]
    refused: dict[int, str]
    """By position: a delivery may be read again from its beginning."""
    checksum: bytes = b""
    words: str = ""
    is_settled: bool = False

    def told(self) -> DeliveryAnswer:
        """The answer when it is done."""
        told = sorted(self.refused.items())[:MOST_TOLD]
        return DeliveryAnswer(not self.words, self.words, told, len(self.refused))


class Inbox:
    """Implements `Adapter`. `spool` is a folder of this process; `clock` gives milliseconds since 1970.

    `put` is for any thread. It is closed until the first `arrived`, and after each `forget`.
    """

    def __init__(self, name: str, spool: Path, clock: Callable[[], int]) -> None:
        self.name = name
        self._spool = spool
        self._clock = clock
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._open = False
        self._number = 0
        self._taken: dict[str, _Waiting] = {}
        """Those of this turn, by the names of their files."""
        self._find: FindAnswers = lambda keys: {}

    def find_answers_by(self, find: FindAnswers) -> None:
        """Ask this for the answers under the keys of deliveries, from now on."""
        self._find = find

    def put(self, content: bytes, name: str, answer: Callable[[DeliveryAnswer], None], key: str = "") -> bool:
        """Queue a delivery, if there is room and the log was not away; `answer` is called once, in another thread.

        One that comes again under its `key` gets the answer of the first; another one under that key is refused.
        """
        with self._changed:
            if not self._open or (self._bytes and self._bytes + len(content) > MOST_BYTES):
                return False
            self._queue.append(_Waiting(content, name, key, answer, {}))
            self._bytes += len(content)
            WAITING.inc()
            self._changed.notify()
        return True

    def wait(self, seconds: float) -> None:
        """Return when there is something, or after so long."""
        with self._changed:
            if not self._queue:
                self._changed.wait(seconds)
            # A turn costs as much for one request as for several.
            self._changed.wait_for(lambda: len(self._queue) >= _ENOUGH, _GATHER_S)

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """What has been put and has no answer yet, in its order, at most `MOST_OF_A_TURN`.

        Raises `OSError` if the spool is full, and what finding answers does.
        """
        del done  # what a sender repeats is sent again, and counts once (R6): a record of each request has no end
        found: list[Delivered] = []
        with self._changed:
            self._open = True
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_OF_A_TURN))]
            for item in taken:
                self._number += 1
                self._taken[str(self._number)] = item
        now = self._clock()
        self._answer_again()
        for name, item in self._taken.items():
            path = self._spool / name
            path.write_bytes(item.content)
            found.append(Delivered(item.name, path, item.checksum, now))
        return found

    def _answer_again(self) -> None:
        """Answer what has an answer under its key, and refuse what comes under the key of another delivery."""
        keys = {item.key for item in self._taken.values() if item.key}
        known = self._find(keys) if keys else {}
        first = {key: kept.checksum for key, kept in known.items()}
        for name, item in list(self._taken.items()):
            item.checksum = sha256(item.content).digest()
            if item.key and first.setdefault(item.key, item.checksum) != item.checksum:
                self._answer(name, KEY_USED)
            elif item.key in known:
                self._answer(name, known[item.key].answer)

    def present(self) -> Sequence[str]:
        """No name: what comes again is known by none."""
        return ()

    def refuse(self, delivered: Delivered, refused: Sequence[Refused]) -> None:
        """Note what to tell the sender."""
        self._taken[delivered.path.name].refused.update((reading.position, reading.reason) for reading in refused)

    def retract(self, delivered: Delivered) -> None:
        """Forget what was noted."""
        self._taken[delivered.path.name].refused.clear()

    def settled(self, delivered: Delivered, words: str) -> None:
        """Note why nothing of it was read, if so."""
        item = self._taken[delivered.path.name]
        item.words, item.is_settled = words, True

    def to_keep(self) -> Mapping[str, KeptAnswer]:
        """By key, the answers that are about to be given to deliveries that the log has."""
        settled = [item for item in self._taken.values() if item.is_settled and item.key and not item.words]
        return {item.key: KeptAnswer(item.checksum, item.told()) for item in settled}

    def acknowledge(self, delivered: Delivered) -> None:
        """Answer the sender."""
        delivered.path.unlink(missing_ok=True)
        self._answer(delivered.path.name, self._taken[delivered.path.name].told())

    def forget(self) -> None:
        """After an interruption: tell all who wait to send again, and take nothing until the next turn."""
        with self._changed:
            self._open = False
            for item in self._queue:
                self._number += 1
                self._taken[str(self._number)] = item
            self._queue.clear()
        for name in list(self._taken):
            self._answer(name, AWAY)
        for path in self._spool.iterdir():
            path.unlink()

    def _answer(self, name: str, answer: DeliveryAnswer) -> None:
        with self._changed:
            item = self._taken.pop(name)
            self._bytes -= len(item.content)
        WAITING.dec()
        item.answer(answer)
