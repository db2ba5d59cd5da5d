"""Pages that were found before and are given again: that they may still be read, and their lines of the audit."""

from collections.abc import Sequence
from json import dumps
from typing import NamedTuple

from psycopg.errors import UniqueViolation

from store.access import Access
from store.agreed import PageAsked, page_limits, pages_of_tokens, question
from store.audit import AuditMoved, AuditRow, row_terms
from store.database import AsyncConnection


class ExpectedPage(NamedTuple):
    """A page that is to be given once more: the question, the agreement that is expected to be in force for its token,
    in that version, and the `content` that is expected (`BodyPage`).
    """

    asked: PageAsked
    access: Access
    content: str


async def record_pages(connection: AsyncConnection, pages: Sequence[tuple[ExpectedPage, AuditRow]]) -> set[str]:
    """Add the lines of the agreements whose pages all are what may be read now; which agreements these are.

    Each line is for the audit of its page's agreement.

    In one statement, which decides what may be read as `token_pages` does. Raises `AuditMoved` if one of the sequences
    is taken; then nothing is added.
    """
    # In one order, so that two processes wait for each other in one direction only.
    ordered = sorted(pages, key=lambda page: (page[1].agreement, page[1].sequence))
    terms = {"asked": dumps([_terms(page, row) for page, row in ordered]), **page_limits()}
    try:
        rows = await connection.execute(_RECORD_PAGES, terms, prepare=True)
    except UniqueViolation:
        raise AuditMoved from None
    return {agreement for (agreement,) in await rows.fetchall()}


def _terms(page: ExpectedPage, row: AuditRow) -> dict[str, object]:
    expected = {"expected": page.content, "expected_version": page.access.version}
    return question(page.asked) | row_terms(row) | expected


_LOOKED_AT = pages_of_tokens(
    "chain, asked.sequence, at, line, expected, asked.agreement = chain AND asked.version = expected_version",
    **{"chain": "text", "sequence": "bigint", "at": "bigint", "line": "bytea"},
    **{"expected": "text", "expected_version": "integer"},
)
# A line names the one before: of an agreement all are added, or none.
_RECORD_PAGES = f"""
    WITH looked_at (chain, sequence, at, line, expected, held, log, agreed, first, last, content) AS ({_LOOKED_AT}),
    compared AS (
        SELECT *, bool_and((held AND agreed AND content = expected) IS TRUE) OVER whole_chain AS same FROM looked_at
        WINDOW whole_chain AS (PARTITION BY chain ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING
                               AND UNBOUNDED FOLLOWING)),
    added AS (
        INSERT INTO audit (agreement, sequence, at, line)
        SELECT chain, sequence, to_timestamp(at / 1000.0), line FROM compared WHERE same ORDER BY chain, sequence
        RETURNING agreement)
    SELECT agreement FROM added
"""
