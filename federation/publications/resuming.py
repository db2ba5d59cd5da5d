"""Going on after the ledger was lost: an entry for each metric skips every window that may have left (P6).

Without a ledger nobody knows what left between the backup and the loss. So nothing of that time is published any more,
nor any revision of what was published before, since it might follow one that is unknown. Numbers are left out that may
have been given. Times are milliseconds since 1970, UTC.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from federation.publications.catalogues import CatalogueKeeper
from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.ledger import Beginning, LedgerFault, begin_ledger, set_aside
from federation.publications.recovery import ends_of, ledger_fault
from federation.publications.signing import seen_by_partners
from federation.publications.slots import due_windows
from schemas.catalogue import Metric
from store.database import Connection
from store.publication_log import newest_window
from store.publications import Header, Window, append, publisher_lock
from store.publishing import begins, published_until
from store.recovery import LogFacts, begin_log, drafts, drop_draft, log_facts

_ROOM = 100_000
"""Numbers left out at least: more than the revisions and withdrawals of windows that were published before."""

_REVISIONS = 8
"""Numbers left out for each window that may have left."""


_LONG_MS = 40 * 24 * 3_600_000
"""Longer than any window and its delay."""


def resume_after_loss(
    connection: Connection, path: Path, city: str, metrics: Sequence[Metric], zone: str, now_ms: int
) -> list[Header]:
    """Begin another ledger, and skip every window that may have left; returns the entries.

    What is at `path` is kept under another name. A crash leaves a ledger that is refused: then call it again. Raises
    `LedgerFault` if nothing is wrong with the ledger.
    """
    with publisher_lock(connection) as held:
        if not held:
            raise LedgerFault("another publisher is at work: stop it first")
        if ledger_fault(connection, path, city) is None:
            raise LedgerFault(
                f"nothing is wrong with the ledger at {path}: `sistercity publish` goes on without a loss"
            )
        set_aside(path)
        facts = log_facts(connection)
        known, position = _known(connection, facts)
        spans = {
            metric: _may_have_left(connection, metric, zone, now_ms, seen=metric.name in known) for metric in metrics
        }
        room = _ROOM + _REVISIONS * sum(count for _, count in spans.values())
        ends = {metric: replace(end, sequence=end.sequence + room) for metric, end in known.items()}
        beginning = Beginning(city, facts.id, position + room, ends)
        catalogues = CatalogueKeeper(connection, zone)
        skips: list[tuple[Header, bytes, bytes]] = []
        for metric, (span, _) in spans.items():
            if span is not None:
                position = beginning.after + len(skips) + 1
                end, catalogue = ends.get(metric.name, ChainEnd(0, None)), catalogues.keep(metric)
                skips.append(_skip(city, metric, span, position, end, catalogue, now_ms))
        begin_ledger(path, beginning, *(line for _, line, _ in skips))
        with connection.transaction():
            for draft in drafts(connection):
                drop_draft(connection, draft.position)
            begin_log(connection, facts.id)
            for header, line, body in skips:
                append(connection, header, "", [], left_at=now_ms, entry=line, body=body, body_hash=digest(body))
    return [header for header, _, _ in skips]


def _known(connection: Connection, facts: LogFacts) -> tuple[Mapping[str, ChainEnd], int]:
    """The newest entry of each metric, and the newest position, that we or our partners know.

    The hash is that of the newest entry that we know.
    """
    known, seen = ends_of(facts), seen_by_partners(connection)
    for head in seen:
        for metric, end in head.ends.items():
            have = known.get(metric, ChainEnd(0, None))
            known[metric] = replace(have, sequence=max(have.sequence, end.sequence))
    return known, max([facts.position, *(head.position for head in seen)])


def _last_due(metric: Metric, zone: str, now_ms: int) -> Window | None:
    """The last window whose slot has passed."""
    windows = list(due_windows(metric, zone, now_ms - _LONG_MS, now_ms))
    return windows[-1] if windows else None


def _may_have_left(
    connection: Connection, metric: Metric, zone: str, now_ms: int, *, seen: bool
) -> tuple[Window | None, int]:
    """The span of the windows that may have left, and how many; the last published one if its slot is the last.

    None if no slot of the metric has passed. Of a metric that only imports are published of, the last published one:
    whatever begins before its end is never published again. `seen`: partners have some of it, whatever is known here.
    """
    since = begins(connection).get(metric.name)
    if since is None:
        return newest_window(connection, metric.name) or (_last_due(metric, zone, now_ms) if seen else None), 0
    windows = list(due_windows(metric, zone, published_until(connection, metric.name, since), now_ms))
    if windows:
        return Window(windows[0].start, windows[-1].end), len(windows)
    return newest_window(connection, metric.name), 0


def _skip(
    city: str, metric: Metric, span: Window, position: int, end: ChainEnd, catalogue: str, now_ms: int
) -> tuple[Header, bytes, bytes]:
    header = Header(position, metric.name, end.sequence + 1, span, 0, now_ms, "skip")
    body = body_bytes(header, metric.smallest_unit, (), secrets.token_hex(16))
    entry = PublicationEntry(city, header, end.hash, digest(body), catalogue)
    return header, entry_bytes(entry), body
