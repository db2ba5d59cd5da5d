"""The contract of live sources: bytes come in, and are acknowledged when the log has them.

    bytes, source, received at -> decode -> batch -> the log, or dead letters with the original bytes

Whatever ends in between leaves the delivery unacknowledged, and it is sent again: the same readings count once (R6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from store.deliveries import Refused


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a sender delivered whole. `path` is a copy of its bytes that nobody changes, `checksum` their SHA-256.

    `name` is the sender's name for it; `received_ms` is milliseconds since 1970, UTC.
    """

    name: str
    path: Path
    checksum: bytes
    received_ms: int

    @property
    def origin(self) -> str:
        """The name in dead letters: the same name with other content is another origin."""
        return f"{self.name} {self.checksum.hex()[:12]}"


class Adapter(Protocol):
    """Where deliveries come from. `name` is the source's name in the list of sources. One thread."""

    @property
    def name(self) -> str: ...

    def arrived(self, done: Callable[[bytes], bool]) -> Sequence[Delivered]:
        """What has come whole, without what `done` says of its checksum that the log has it."""

    def present(self) -> Sequence[str]:
        """The names of what is still there and would be delivered again."""

    def refuse(self, delivered: Delivered, refused: Sequence[Refused]) -> None:
        """Tell the sender of readings that are not sent. Repeated from the beginning if a delivery is sent again."""

    def retract(self, delivered: Delivered) -> None:
        """What was told of refused readings is void: the delivery is read again from its beginning."""

    def settled(self, delivered: Delivered, words: str) -> None:
        """The log has all of it that is to be sent; `words` say why nothing is, if so. It is recorded after this."""

    def acknowledge(self, delivered: Delivered) -> None:
        """It is done and recorded: the sender may forget it."""


class ToldNothing:
    """The part of `Adapter` where no sender is told what became of a delivery; dead letters are kept."""

    def present(self) -> Sequence[str]:
        """No name: what comes again is known by none."""
        return ()

    def refuse(self, delivered: Delivered, refused: Sequence[Refused]) -> None:
        """Nobody is told."""

    def retract(self, delivered: Delivered) -> None:
        """Nobody was told."""

    def settled(self, delivered: Delivered, words: str) -> None:
        """Nobody is told."""
