"""Going on after the ledger was lost: an entry for each metric skips every window that may have left (P6).

Without a ledger nobody knows what left between the backup and the loss. So nothing of that time is published any more,
nor any revision of what was published before, since it might follow one that is unknown. Numbers are left out that may
have been given. Times are milliseconds since 1970, UTC.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from federation.publications.catalogues import CatalogueKeeper
from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.ledger import Beginning, LedgerFault, begin_ledger, set_aside
from federation.publications.recovery import ends_of, ledger_fault
from federation.publications.slots import due_windows
from schemas.catalogue import Metric
from store.database import Connection
from store.publication_log import newest_window
from store.publications import Header, Window, append, publisher_lock
from store.publishing import begins, published_until
from store.recovery import begin_log, drafts, drop_draft, log_facts

_ROOM = 100_000
"""Numbers left out at least: more than the revisions and withdrawals of windows that were published before."""

_REVISIONS = 8
"""Numbers left out for each window that may have left."""


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
        spans = {metric: _may_have_left(connection, metric, zone, now_ms) for metric in metrics}
        room = _ROOM + _REVISIONS * sum(count for _, count in spans.values())
        ends = {metric: replace(end, sequence=end.sequence + room) for metric, end in ends_of(facts).items()}
        beginning = Beginning(city, facts.id, facts.position + room, ends)
        catalogues = CatalogueKeeper(connection)
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


def _may_have_left(connection: Connection, metric: Metric, zone: str, now_ms: int) -> tuple[Window | None, int]:
    """The span of the windows that may have left, and how many; the last published one if its slot is the last.

    None if no slot of the metric has passed. Of a metric that only imports are published of, the last published one:
    whatever begins before its end is never published again.
    """
    since = begins(connection).get(metric.name)
    if since is None:
        return newest_window(connection, metric.name), 0
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
