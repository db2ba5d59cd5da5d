"""Withdrawal: what was published of a window is taken back, here and at partners, with a reason in words.

The entry of the withdrawal stays for ever, and so do the entries of what it withdraws, with the hashes of their bodies;
the values and the bodies are erased. Who had pulled them is told to erase them, and this platform does. That everybody
does can't be known. The window is never published again.
"""

from errors import OperatorError
from federation.plain_text import plain
from federation.publications.appending import Appender
from schemas.catalogue import Metric
from store.publication_log import CellColumns, topic_of, window_entries
from store.publications import Header, PublishedCell

LONGEST_REASON = 1000


class CannotWithdraw(OperatorError):
    """There is nothing to withdraw, or no reason that can be published."""


def withdraw(appender: Appender, metric: Metric, start: int, reason: str, now_ms: int) -> Header:
    """Take back all revisions of the metric's window that begins at `start`; to be called under the publisher's lock.

    `reason` is published as it is. Returns the header of the withdrawal. Raises `CannotWithdraw`.
    """
    check_reason(reason)
    entries = window_entries(appender.connection, metric.name, start)
    if not entries:
        raise CannotWithdraw(f"no window of {metric.name} that begins then was published")
    headers = [header for header, _ in entries]
    if headers[-1].kind == "withdrawal":
        raise CannotWithdraw(f"this window of {metric.name} was withdrawn already: {headers[-1].reason}")
    newest = [cells for _, cells in entries if cells.area]
    return appender.append(
        *(metric, headers[-1].window, "withdrawal", _withdrawn(newest[-1]) if newest else []),
        revision=max(header.revision for header in headers) + 1,
        published_at=now_ms,
        topic=topic_of(appender.connection, headers[-1].position),
        now_ms=now_ms,
        reason=reason,
    )


def check_reason(reason: str) -> None:
    """Raise `CannotWithdraw` unless it is a line of text that partners accept."""
    words = f"a withdrawal needs a reason: one line of text, at most {LONGEST_REASON} characters"
    if len(reason) > LONGEST_REASON or not reason.strip():
        raise CannotWithdraw(words)
    try:
        plain(reason)
    except ValueError as error:
        raise CannotWithdraw(f"{words}; {error}") from None


def _withdrawn(cells: CellColumns) -> list[PublishedCell]:
    return [
        PublishedCell(area, class_, None, None, rule, withdrawn=True)
        for area, class_, rule in zip(cells.area, cells.class_, cells.rule, strict=True)
    ]
