"""The chain of a metric's entries: each names the hash of the one before, so that none is changed or left out. Pure.

Ledger, puller, verifier and bundles follow chains with these functions alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from errors import OperatorError
from federation.publications.entries import FORMAT, PublicationEntry, digest, time_of
from federation.strict_json import loads
from store.partner_entries import ReceivedEntry
from store.publications import Header, Window


class BrokenChain(OperatorError):
    """What was given is not what the chain or its head vouches for. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The newest entry of a metric: its sequence, and its hash (None for one that is older than the ledger)."""

    sequence: int
    hash: str | None


def follow(known: ChainEnd | None, entry: PublicationEntry, line: bytes, *, city: str) -> ChainEnd:
    """The end of the metric's chain after this entry of the city; `known` is the end before, None at the beginning.

    Raises `BrokenChain`: "other-city", "repeated" (an entry of this sequence or a later one is known), "gap", or
    "other-history" (it does not follow the entry that is known).
    """
    header = entry.header
    name = f"entry {header.sequence} of {header.metric}"
    if entry.city != city:
        raise BrokenChain("other-city", f"{name} is of {entry.city!r}, not of {city!r}")
    skips = header.kind == "skip"
    if known is None:
        if entry.before is not None:
            raise BrokenChain("gap", f"{name} follows another, which is missing")
    elif header.sequence <= known.sequence:
        raise BrokenChain("repeated", f"{name} comes after entry {known.sequence}")
    elif header.sequence > known.sequence + 1 and not skips:
        raise BrokenChain("gap", f"{name} comes after entry {known.sequence}: those between are missing")
    elif entry.before != known.hash and not skips:
        raise BrokenChain("other-history", f"{name} does not follow the entry {known.sequence} that is known")
    return ChainEnd(header.sequence, digest(line))


def check_body(
    header: Header | ReceivedEntry, hash_: str, body: bytes, *, load: Callable[[bytes], Any] = loads
) -> Mapping[str, Any]:
    """The JSON of a body, if it is the one of this hash, which the entry names, and says the same of itself as the
    entry does. `load` reads the JSON.

    Raises `BrokenChain`: "other-hash", "other-entry" (it contradicts the entry), "unknown-format" or "malformed".
    Its cells are not checked.
    """
    name = f"the body of entry {header.sequence} of {header.metric}"
    if digest(body) != hash_:
        raise BrokenChain("other-hash", f"{name} is not the one that the entry names")
    try:
        found = load(body)
    except ValueError as error:
        raise BrokenChain("malformed", f"{name} can't be read: {error}") from None
    if not isinstance(found, dict):
        raise BrokenChain("malformed", f"{name} is no object")
    if type(format_ := found.get("format", FORMAT)) is not int or format_ != FORMAT:
        raise BrokenChain("unknown-format", f"{name} is of a format of which this program knows nothing")
    if not _says_the_same(header, found):
        raise BrokenChain("other-entry", f"{name} says that it is of another entry")
    return found


def check_catalogue(entry: PublicationEntry, content: bytes) -> None:
    """Raise `BrokenChain` ("other-hash") unless this is the catalogue that the entry names."""
    if digest(content) != entry.catalogue:
        header = entry.header
        raise BrokenChain(
            "other-hash", f"the catalogue of entry {header.sequence} of {header.metric} is not the one it names"
        )


def _says_the_same(header: Header | ReceivedEntry, body: Mapping[str, Any]) -> bool:
    try:
        window = Window(time_of(body["window"]["start"]), time_of(body["window"]["end"]))
        said = (body["metric"], body["sequence"], body["revision"], window, time_of(body["published_at"]), body["kind"])
    except (ValueError, KeyError, TypeError):
        return False
    told = (header.metric, header.sequence, header.revision, header.window, header.published_at, header.kind)
    return (*said, body.get("reason")) == (*told, header.reason)
