"""Agreement of ledger and database, after a crash, a fail-over or a restore from any backup (P6).

The ledger is always ahead of the database or level with it. An entry that the database lacks is finished from its draft
if that is still there, with the same bytes; else its contents are lost, and it is entered as such: never published anew
with other values. Whatever else does not agree stops the publisher in words.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from federation.publications.appending import finish
from federation.publications.chain import ChainEnd, check_body
from federation.publications.entries import PublicationEntry, cells_of, digest, entry_of
from federation.publications.heads import SignedHead
from federation.publications.ledger import (
    Beginning,
    Ledger,
    LedgerFault,
    LedgerState,
    begin_ledger,
    read_entries,
    read_ledger,
)
from federation.publications.signing import seen_by_partners
from store.database import Connection
from store.publications import append, publisher_lock
from store.recovery import LogFacts, LostBody, begin_log, bring_back, drafts, drop_draft, ledger_hashes, log_facts

log = logging.getLogger(__name__)

_WAY_ON = (
    "Bring back the ledger that was last written. If it is lost: `sistercity publish --resume-after-loss` goes on after"
    " every window that may have left."
)

Line = tuple[PublicationEntry, bytes]


def ensure_ledger(connection: Connection, path: Path, city: str) -> None:
    """Begin a ledger if this log never had one; to be called under the publisher's lock.

    Raises `LedgerFault` if the log had one and it is not there.
    """
    facts = log_facts(connection)
    if path.exists():
        return
    if facts.ledger:
        raise LedgerFault(_missing(path))
    begin_ledger(path, Beginning(city, facts.id, facts.position, ends_of(facts)))


def recover(connection: Connection, ledger: Ledger, city: str, now_ms: int) -> None:
    """Bring the database level with its ledger; to be called under both locks, before anything is published.

    Raises `LedgerFault` if the two do not agree.
    """
    facts = log_facts(connection)
    waiting = {draft.position: draft for draft in drafts(connection)}
    if facts.ledger and not waiting and level(facts, ledger):
        return
    missing = missing_entries(facts, ledger.state.beginning, read_entries(ledger.path), ledger.path, city)
    begin_log(connection, ledger.state.beginning.log)
    for entry, line in missing:
        draft = waiting.pop(entry.header.position, None)
        if draft is not None and draft.entry == line:
            finish(connection, draft)
        else:
            _lose(connection, entry, line, now_ms)
    for position in waiting:
        drop_draft(connection, position)


def _missing(path: Path) -> str:
    return f"there is no ledger at {path}, and this database has publications of one. {_WAY_ON}"


def level(facts: LogFacts, ledger: Ledger) -> bool:
    """Whether both have the same newest entry of every metric."""
    state = ledger.state
    return (facts.id, facts.position, ends_of(facts)) == (state.beginning.log, state.position, state.ends)


def ends_of(facts: LogFacts) -> dict[str, ChainEnd]:
    """The newest entry of each metric in the database."""
    return {
        metric: ChainEnd(sequence, None if line is None else digest(line))
        for metric, (sequence, line) in facts.heads.items()
    }


def missing_entries(
    facts: LogFacts, beginning: Beginning, entries: Iterable[Line], path: Path, city: str
) -> Sequence[Line]:
    """The entries that the database lacks, in order. Raises `LedgerFault` if it has what they contradict. Pure."""
    if beginning.city != city:
        raise LedgerFault(f"{path} is the ledger of {beginning.city}, not of {city}")
    if beginning.log != facts.id and facts.position:
        raise LedgerFault(f"{path} is the ledger of another log of {city} than that of this database. {_WAY_ON}")
    if facts.position < beginning.after:
        raise LedgerFault(
            f"{path} begins after publication {beginning.after}, and the database ends with {facts.position}. {_WAY_ON}"
        )
    begun_with = {end.hash for end in beginning.ends.values()}
    unseen = {
        metric for metric, (_, line) in facts.heads.items() if line is not None and digest(line) not in begun_with
    }
    position, missing = beginning.after, []
    for entry, line in entries:
        header = entry.header
        position = header.position
        if position > facts.position:
            missing.append((entry, line))
        elif facts.heads.get(header.metric, (0, None)) == (header.sequence, line):
            unseen.discard(header.metric)
    if position < facts.position:
        raise LedgerFault(
            f"{path} ends with publication {position}, and the database with {facts.position}: the file is an older"
            f" copy, or was not the one that was written. {_WAY_ON}"
        )
    if unseen:
        raise LedgerFault(f"{path} contradicts the database about {', '.join(sorted(unseen))}. {_WAY_ON}")
    return missing


def check_not_restored(connection: Connection, state: LedgerState) -> None:
    """Raise `LedgerFault` if partners have seen more of this city, or something else, than the ledger has.

    Ledger and database were restored together then, and what left since is not known here. The database is to be level
    with the ledger.
    """
    _check_seen(connection, seen_by_partners(connection), state)


def _check_seen(connection: Connection, seen: Sequence[SignedHead], state: LedgerState) -> None:
    named = {(metric, end.sequence) for head in seen for metric, end in head.ends.items()}
    compare_with_seen(seen, state, ledger_hashes(connection, state.beginning.after, sorted(named)))


def compare_with_seen(seen: Sequence[SignedHead], state: LedgerState, hashes: Mapping[tuple[str, int], str]) -> None:
    """Compare the heads that partners have seen with the ledger: its newest entries, and the hashes of those that the
    heads name, by metric and sequence. What the ledger leaves out, or begins after, is not compared. Pure.

    Every head tells, not the newest alone: a restored city that went on has signed newer ones since. Raises
    `LedgerFault`.
    """
    for head in seen:
        for metric, end in head.ends.items():
            known = state.ends.get(metric, ChainEnd(0, None))
            if known.sequence < end.sequence:
                raise LedgerFault(
                    f"partners have seen publication {end.sequence} of {metric}, and the ledger ends with"
                    f" {known.sequence}: it was restored together with the database. {_WAY_ON}"
                )
            own = known.hash if known.sequence == end.sequence else hashes.get((metric, end.sequence), end.hash)
            if own != end.hash:
                raise LedgerFault(
                    f"partners have seen another publication {end.sequence} of {metric} than the ledger has: it was"
                    f" restored together with the database. {_WAY_ON}"
                )


def take_back(connection: Connection, lost: LostBody, body: bytes) -> bool:
    """Store a body that was lost, if it is the one that the entry names; whether it was still wanted.

    Waits until a running publisher pauses. Raises `BrokenChain` if it is another body.
    """
    entry = entry_of(lost.entry)
    check_body(entry.header, entry.body, body)
    with publisher_lock(connection, wait=True):
        return bring_back(connection, lost.position, entry.header.kind, body, cells_of(body))


def ledger_fault(connection: Connection, path: Path, city: str) -> str | None:
    """What is wrong with the ledger, in words; None if the publisher may go on. Changes nothing, and needs no lock."""
    # Before the ledger: what is published meanwhile is in it when it is read.
    facts, seen = log_facts(connection), seen_by_partners(connection)
    if not path.exists():
        return _missing(path) if facts.ledger else None
    try:
        state = read_ledger(path)
        missing_entries(facts, state.beginning, read_entries(path), path, city)
        _check_seen(connection, seen, state)
    except LedgerFault as fault:
        return str(fault)
    return None


def _lose(connection: Connection, entry: PublicationEntry, line: bytes, now_ms: int) -> None:
    """Enter what the ledger says was published, without its contents. A withdrawal still erases what it is of."""
    header = entry.header
    if header.kind == "withdrawal":
        kept = replace(header, reason=header.reason or "")
    else:
        kept = header if header.kind == "skip" else replace(header, kind="lost")
    log.warning(
        "publication %s (%s %s) is in the ledger and not in the database: its contents are lost",
        *(header.position, header.metric, header.sequence),
    )
    append(connection, kept, "", [], left_at=now_ms, entry=line, body_hash=entry.body)
