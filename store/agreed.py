"""What partners read: each function takes the id of an agreement, and reads through the views of agreements alone.

The views say what is agreed at the time of the transaction: grants, `since`, delay, revocations. Lines are the stored
bytes, without a line's end. Connections are those of `store.publication_log.snapshots`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps
from typing import NamedTuple

from psycopg.rows import TupleRow

from store import publication_log
from store.access import TOKENS_IN_FORCE, Access
from store.database import AsyncConnection, Connection
from store.publication_log import LogState, PublicationScope

MOST_BYTES = 8 << 20
"""The most bytes of one page, unless it holds a single line."""


class BodiesAsked(NamedTuple):
    """A question for bodies of a metric under an agreement, `after` a sequence, at most `limit`."""

    agreement: str
    metric: str
    after: int
    limit: int


class PageAsked(NamedTuple):
    """The same question by whoever has a token, of which this is the hash."""

    token: bytes
    metric: str
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class BodyPage:
    """What may be read now of what was asked: whether the metric is agreed, and a page of its bodies.

    `first` and `last` sequence, None on an empty page. `content` names the page's bytes: the same only for the same
    bodies, by their hashes, of the same log.
    """

    log: str
    agreed: bool
    first: int | None
    last: int | None
    content: str


@dataclass(frozen=True, slots=True)
class FoundBody:
    """A body by its hash, and what it is of; `content` is None where it was withdrawn or lost."""

    metric: str
    sequence: int
    content: bytes | None


def log_state(connection: Connection) -> LogState:
    """The log's id and its newest position."""
    return publication_log.log_state(connection)


def agreed_metrics(connection: Connection, agreement: str) -> frozenset[str]:
    """The metrics that may be read under an agreement. None if it is not in force."""
    rows = connection.execute("SELECT metric FROM agreed_metrics WHERE agreement = %s", (agreement,))
    return frozenset(metric for (metric,) in rows)


def entries(connection: Connection, agreement: str, position: int, limit: int) -> tuple[list[bytes], int]:
    """The entries after `position`, in order, at most `limit` and 8 MiB; and the position after which to go on."""
    # Metric by metric: walking the whole log for those of a rare metric takes seconds.
    rows = connection.execute(
        """
        SELECT position, entry FROM agreed_metrics AS given CROSS JOIN LATERAL (
            SELECT position, entry FROM agreed_entries
            WHERE agreement = given.agreement AND metric = given.metric AND position > %(after)s
            ORDER BY position LIMIT %(limit)s) AS of_metric
        WHERE agreement = %(agreement)s ORDER BY position LIMIT %(limit)s
        """,
        {"agreement": agreement, "after": position, "limit": limit},
        binary=True,
    ).fetchall()
    kept = _fitting([len(entry) for _, entry in rows])
    return [entry for _, entry in rows[:kept]], rows[kept - 1][0] if kept else position


async def token_pages(connection: AsyncConnection, asked: Sequence[PageAsked]) -> list[tuple[Access, BodyPage] | None]:
    """For each question the agreement of its token, and the page that answers it; None where the token opens nothing.

    One statement for all. A page has at most 8 MiB, and ends before the first body that is not due. Bodies that were
    withdrawn or lost are left out.
    """
    # One parameter of JSON: the library needs several times as long for arrays.
    terms = {"asked": dumps([question(each) for each in asked]), **page_limits()}
    rows = await (await connection.execute(_TOKEN_PAGES, terms, prepare=True)).fetchall()
    _check_count(rows, asked)
    return [None if row[0] is None else (Access(*row[:7]), BodyPage(*row[7:])) for row in rows]


async def keep_plan(connection: AsyncConnection) -> None:
    """Plan each prepared statement once: planning that of `token_pages` takes several times as long as running it."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")


def read_page(connection: Connection, asked: BodiesAsked) -> tuple[BodyPage, list[bytes]]:
    """The page that answers one question, and its bodies in the order of their sequence. In one transaction."""
    terms = {"agreement": asked.agreement, "metric": asked.metric, "after": asked.after, "most_lines": asked.limit}
    rows = connection.execute(_BODY_PAGE, terms | page_limits()).fetchall()
    _check_count(rows, [asked])
    page = BodyPage(*rows[0])
    stored = connection.execute(
        "SELECT body FROM agreed_bodies WHERE agreement = %s AND metric = %s AND sequence BETWEEN %s AND %s"
        " AND body IS NOT NULL ORDER BY sequence",
        (asked.agreement, asked.metric, page.first, page.last),
        binary=True,
    )
    return page, [body for (body,) in stored]


def body(connection: Connection, agreement: str, hash_: str) -> FoundBody | None:
    """The body with this SHA-256, ours or the partner's own that it sent; None if there is none that may be read."""
    row = connection.execute(
        "SELECT metric, sequence, body FROM agreed_bodies WHERE agreement = %(agreement)s AND body_hash = %(hash)s"
        " UNION ALL"
        " SELECT metric, sequence, body FROM returned_bodies WHERE agreement = %(agreement)s AND hash = %(hash)s"
        " ORDER BY body LIMIT 1",
        {"agreement": agreement, "hash": hash_},
        binary=True,
    ).fetchone()
    return None if row is None else FoundBody(*row)


def agreed(agreement: str) -> PublicationScope:
    """The publications and cells that may be read under an agreement."""
    return PublicationScope(
        "(SELECT * FROM agreed_bodies WHERE agreement = %(agreement)s) AS publications",
        "(SELECT * FROM agreed_cells WHERE agreement = %(agreement)s) AS published_cells",
        {"agreement": agreement},
    )


def newest_head(connection: Connection) -> str | None:
    """The newest signed head of this city."""
    row = connection.execute("SELECT document FROM heads ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def seen_heads(connection: Connection, agreement: str, thumbprint: str) -> list[str]:
    """The newest heads that were seen of a city, at most 10; none unless both cities are each other's witnesses."""
    rows = connection.execute(
        "SELECT document FROM witnessed_heads WHERE agreement = %s AND thumbprint = %s"
        " ORDER BY number DESC, seen_at DESC LIMIT 10",
        (agreement, thumbprint),
    )
    return [document for (document,) in rows]


def catalogue(connection: Connection, hash_: str) -> bytes | None:
    """The bytes of the catalogue with this SHA-256. Public."""
    row = connection.execute("SELECT content FROM catalogues WHERE hash = %s", (hash_,)).fetchone()
    return None if row is None else bytes(row[0])


def own_identity(connection: Connection) -> str | None:
    """What everyone may know of our identity: its document, or its revocation once there is one. Public."""
    row = connection.execute(
        "SELECT coalesce(statement, document) FROM identities LEFT JOIN identity_revocations USING (thumbprint)"
        " WHERE own"
    ).fetchone()
    return None if row is None else str(row[0])


def question(asked: PageAsked) -> dict[str, object]:
    """A question as `pages_of_tokens` reads it."""
    return {"hash": rf"\x{asked.token.hex()}", "metric": asked.metric, "after": asked.after, "most": asked.limit}


def page_limits() -> dict[str, int]:
    """The other parameters of every statement that finds pages."""
    return {"most": MOST_BYTES}


def pages_of_tokens(columns: str, **further: str) -> str:
    """A query for the pages of several questions, with an agreement (null without one in force) for each, in order.

    Its parameter `asked` is JSON: the questions, with `further` fields of these types. It gives `columns` of `asked`
    (a question, and the agreement that its token is for) and those of `BodyPage`.
    """
    fields = {"hash": "bytea", "metric": "text", "after": "bigint", "most": "bigint"} | further
    return f"SELECT {columns}, " + _FOUND.format(
        asked=f"""
            (SELECT wanted.*, held.*, held.id AS agreement
             FROM ROWS FROM (json_to_recordset(%(asked)s::json) AS ({", ".join(map(" ".join, fields.items()))}))
                  WITH ORDINALITY AS wanted ({", ".join(fields)}, number)
             LEFT JOIN LATERAL (
                SELECT * FROM ({TOKENS_IN_FORCE}) AS known WHERE known.token = wanted.hash LIMIT 1) AS held ON true)
            AS asked
        """
    )


def _fitting(sizes: Sequence[int]) -> int:
    """How many lines of these sizes fit on a page, at least the first."""
    total = 0
    for count, size in enumerate(sizes):
        total += size + 1
        if count and total > MOST_BYTES:
            return count
    return len(sizes)


def _check_count(rows: Sequence[TupleRow], asked: Sequence[object]) -> None:
    if len(rows) != len(asked):
        raise LookupError("publication_log has no row: the database was not migrated, or the table was emptied")


# Sub-selects with LIMIT are looked up for each question: for others the planner would read every grant.
_FOUND = """
           log.id::text,
           found.last IS NOT NULL OR
           (SELECT true FROM agreed_metrics AS given
            WHERE given.agreement = asked.agreement AND given.metric = asked.metric LIMIT 1) IS NOT NULL,
           found.*
    FROM {asked}
    CROSS JOIN publication_log AS log
    CROSS JOIN LATERAL (
        WITH page AS (
            SELECT sequence, size, name, sum(size + 1) OVER before AS total, bool_or(awaited) OVER before AS ended
            FROM (
                SELECT * FROM agreed_pages
                WHERE agreement = asked.agreement AND metric = asked.metric AND sequence > asked.after
                  AND (readable OR awaited)
                ORDER BY sequence LIMIT asked.most) AS lines
            WINDOW before AS (ORDER BY sequence))
        SELECT min(sequence), max(sequence),
               encode(sha256(
                   convert_to(concat_ws(' ', log.id, string_agg(name, ' ' ORDER BY sequence)), 'UTF8')), 'hex')
        FROM page WHERE NOT ended AND (total <= %(most)s::bigint OR total = size + 1)
    ) AS found (first, last, content)
    ORDER BY asked.number
"""
_BODY_PAGE = "SELECT" + _FOUND.format(
    asked="""
        (VALUES (%(agreement)s::text, %(metric)s::text, %(after)s::bigint, %(most_lines)s::bigint, 1))
        AS asked (agreement, metric, after, most, number)
    """
)
_TOKEN_PAGES = pages_of_tokens(
    "asked.agreement, asked.version, partner, witness, requests_per_minute, bytes_per_hour, concurrent_requests"
)
