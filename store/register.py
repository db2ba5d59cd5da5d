"""The register: the number, contributor, class and district of every source.

Real ids are here and nowhere else. Numbers are dense, in random order, and never given twice: rows are never deleted.
Sources are looked up in `store.resolution`; the areas of a metric are in `store.areas`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import LiteralString

import numpy as np
from numpy.typing import NDArray

from store import binary_rows as binary
from store import register_indices as indices
from store.database import Connection
from store.first_register import COPIED_AT_ONCE, FirstRows, load_first, numbered_rows
from store.moments import milliseconds
from store.register_columns import NOT_SAID, EarliestChange, Loaded, RegisterColumns, RegisterError
from store.register_indices import REBUILT_FROM
from store.spellings import Comparable, Spellings, numbered, refuse_nearly_equal
from store.texts import Texts, repeated

# A sort or a hash table of millions of rows fits, or needs few passes. PostgreSQL may use a few times as much.
_MEMORY = "SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '512MB'; SET LOCAL jit = off"
_CREATE = """
CREATE TEMPORARY TABLE register_rows (
    line bigint, source text, metric text, district text, contributor text, class text,
    valid_from timestamptz, valid_to timestamptz, source_order bigint, contributor_hash bigint, fact bigint
) ON COMMIT DROP;
CREATE TEMPORARY TABLE repeated_lines (line bigint PRIMARY KEY) ON COMMIT DROP;
CREATE TEMPORARY TABLE differing (
    line bigint, number bigint, metric text, changed_from timestamptz, valid_to timestamptz, contradicts text,
    moved boolean, fact bigint
) ON COMMIT DROP
"""
_DROP = "DROP TABLE register_rows, repeated_lines, differing"
_COPY = """
COPY register_rows (
    line, metric, district, class, source, contributor, valid_from, valid_to, source_order, contributor_hash, fact
) FROM STDIN (FORMAT binary)
"""
_COPY_REPEATED = "COPY repeated_lines FROM STDIN (FORMAT binary)"
_LOCK = "LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE"
# Reading and checking a first register takes long, and holds up nobody.
_PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = 0"
_LOCK_SOON = f"SET LOCAL idle_in_transaction_session_timeout TO DEFAULT; {_LOCK}"
_COUNT = "SELECT coalesce(max(number) + 1, 0) FROM sources"  # numbers are dense
_LAST_CHANGE = "SELECT coalesce(max(change), 0) FROM source_changes"
_TWICE = """
SELECT max(line), min(line) FROM register_rows WHERE line IN (SELECT line FROM repeated_lines)
GROUP BY source, metric, valid_from HAVING count(*) > 1
ORDER BY 1 LIMIT 1
"""
# One join tells rows that are new (without a number), that contradict the register, and that have another end or fact.
_COMPARE = """
INSERT INTO differing
SELECT r.line, s.number, r.metric, least(s.valid_to, r.valid_to), r.valid_to,
       CASE WHEN s.class <> r.class THEN 'class' WHEN s.district <> r.district THEN 'district'
            WHEN c.contributor <> r.contributor THEN 'contributor' END,
       s.valid_to IS DISTINCT FROM r.valid_to, r.fact
FROM register_rows r
LEFT JOIN sources s USING (source, metric, valid_from) LEFT JOIN contributors c ON c.number = s.contributor
WHERE s.number IS NULL OR s.class <> r.class OR s.district <> r.district OR c.contributor <> r.contributor
   OR s.valid_to IS DISTINCT FROM r.valid_to OR r.fact <> coalesce(s.fact, 0)
"""
# Spellings of a contributor that have become one contradict nothing.
_SAME_CONTRIBUTORS = """
UPDATE differing d SET contradicts = NULL
FROM register_rows r, contributors named, sources s, contributors known
WHERE d.contradicts = 'contributor' AND r.line = d.line AND named.contributor = r.contributor
  AND s.number = d.number AND known.number = s.contributor
  AND coalesce(named.same_as, named.number) = coalesce(known.same_as, known.number);
DELETE FROM differing d USING sources s, register_rows r
WHERE s.number = d.number AND r.line = d.line AND contradicts IS NULL AND NOT moved
  AND coalesce(r.fact, s.fact, 0) = coalesce(s.fact, 0)
"""

_CONTRADICTION = "SELECT line, contradicts FROM differing WHERE contradicts IS NOT NULL ORDER BY 1 LIMIT 1"
_NEW_AND_MOVED = "SELECT count(*) - count(number), count(number) FROM differing"
# `source_order` is drawn from the system's randomness (PostgreSQL's own gen_random_uuid takes a system call a row), and
# `contributor_hash` has a secret of this load: the order of ids can't be guessed from that of numbers. Equal
# contributors have equal hashes, so sorting by them, which is fast, both groups and shuffles.
_NEW_CONTRIBUTORS = """
INSERT INTO contributors (number, contributor)
SELECT (SELECT coalesce(max(number), -1) FROM contributors)
       + row_number() OVER (ORDER BY contributor_hash, contributor), contributor
FROM (
    SELECT DISTINCT ON (contributor_hash, contributor) contributor_hash, contributor FROM register_rows r
    WHERE NOT EXISTS (SELECT FROM contributors c WHERE c.contributor = r.contributor)
    ORDER BY contributor_hash, contributor
) unnumbered
"""
_UNKNOWN_IDS: Mapping[str, LiteralString] = {
    "source": """
SELECT min(r.line), r.source FROM register_rows r JOIN differing d USING (line)
WHERE d.number IS NULL AND NOT EXISTS (SELECT FROM sources s WHERE s.source = r.source) GROUP BY r.source
""",
    "contributor": """
SELECT min(r.line), r.contributor FROM register_rows r JOIN differing d USING (line)
WHERE d.number IS NULL AND NOT EXISTS (SELECT FROM contributors c WHERE c.contributor = r.contributor)
GROUP BY r.contributor
""",
}
_UPDATE = """
UPDATE sources s SET valid_to = d.valid_to, fact = nullif(coalesce(d.fact, s.fact), 0)
FROM differing d WHERE s.number = d.number;
INSERT INTO source_changes (source) SELECT number FROM differing WHERE number IS NOT NULL
"""
_NEW_SOURCES = """
INSERT INTO sources (number, source, metric, district, contributor, class, valid_from, valid_to, fact)
SELECT (SELECT coalesce(max(number), -1) FROM sources) + row_number() OVER (ORDER BY source_order),
       r.source, r.metric, r.district, coalesce(c.same_as, c.number), r.class, r.valid_from, r.valid_to,
       nullif(r.fact, 0)
FROM register_rows r JOIN contributors c USING (contributor)
WHERE NOT EXISTS (SELECT FROM sources s WHERE (s.source, s.metric, s.valid_from) = (r.source, r.metric, r.valid_from))
"""
# The rows of a source that is new with this load are no change.
_CHANGES = """
SELECT DISTINCT ON (metric) metric, changed_from, line, changed FROM (
    SELECT metric, s.valid_from AS changed_from, line, 'valid_from' AS changed
    FROM sources s JOIN register_rows USING (source, metric, valid_from)
    WHERE number >= %(before)s AND EXISTS (
        SELECT FROM sources known
        WHERE (known.source, known.metric) = (s.source, s.metric) AND known.number < %(before)s
    )
    UNION ALL SELECT metric, changed_from, line, 'valid_to' FROM differing WHERE number IS NOT NULL AND moved
) all_changes ORDER BY metric, changed_from, line
"""
# Two rows of a source that overlap can only be two of this load, or one of this load and one from before.
_OVERLAPPING = """
WITH suspects AS MATERIALIZED (
    SELECT source, metric FROM register_rows WHERE line IN (SELECT line FROM repeated_lines)
    UNION SELECT source, metric FROM sources WHERE number >= %(before)s
    UNION SELECT s.source, metric FROM source_changes c JOIN sources s ON number = c.source WHERE change > %(change)s
)
SELECT coalesce(later.line, earlier.line) FROM (
    SELECT source, metric, valid_from, coalesce(valid_to, 'infinity') AS ends,
           lead(valid_from) OVER (PARTITION BY source, metric ORDER BY valid_from) AS next
    FROM sources WHERE (source, metric) IN (SELECT source, metric FROM suspects)
) s
LEFT JOIN register_rows earlier USING (source, metric, valid_from)
LEFT JOIN register_rows later ON (later.source, later.metric, later.valid_from) = (s.source, s.metric, s.next)
WHERE s.ends > s.next ORDER BY 1 LIMIT 1
"""


def load(
    connection: Connection,
    blocks: Iterable[RegisterColumns],
    *,
    comparable: Comparable,
    rebuilt_from: int = REBUILT_FROM,
) -> Loaded:
    """Add new sources and contributors, and update the ends and facts of known sources; on an error nothing is changed.

    `blocks` is read once, as a stream. Raises `RegisterError` if a row is there twice, if a known (source, metric,
    valid_from) has another class, district or contributor, if two rows of a source are valid at the same time, or if a
    new source or contributor is nearly equal to another, by their `comparable` forms.
    A load of at least `rebuilt_from` rows, and more than the register has, locks the register also for readers.
    """
    with connection.transaction():
        connection.execute(_MEMORY)
        if not _number(connection, _COUNT):
            connection.execute(_PATIENCE)
            held = FirstRows(comparable)
            for block in blocks:
                held.add(block)
            first = numbered_rows(held)
            connection.execute(_LOCK_SOON)
            if not _number(connection, _COUNT):
                return load_first(connection, first, rebuilt_from)
            blocks = [first.rows]  # another load has come before
        return _add(connection, blocks, comparable, rebuilt_from)


def _add(
    connection: Connection, blocks: Iterable[RegisterColumns], comparable: Comparable, rebuilt_from: int
) -> Loaded:
    """Add to a register that has rows."""
    connection.execute(_CREATE)
    count, repeated = _copy_in(connection, blocks)
    connection.execute("ANALYZE register_rows")
    connection.execute(_LOCK)
    before, change = _number(connection, _COUNT), _number(connection, _LAST_CHANGE)
    if len(repeated):
        _copy_repeated(connection, repeated)
        if twice := connection.execute(_TWICE).fetchone():
            raise RegisterError(f"the same source, metric and valid_from as line {twice[1]}", twice[0], "source")
    added, updated = _compare(connection)
    rebuilt = count >= rebuilt_from and count > before
    contributors = 0
    if added:
        _refuse_like_known(connection, comparable)
    if rebuilt:
        indices.drop(connection)
    if added:
        contributors = connection.execute(_NEW_CONTRIBUTORS).rowcount
    if rebuilt:
        indices.build_contributors(connection)
    if added:
        connection.execute(_NEW_SOURCES)
    if rebuilt:
        indices.build_sources(connection)
    if updated:
        connection.execute(_UPDATE)
    if overlap := connection.execute(_OVERLAPPING, {"before": before, "change": change}).fetchone():
        raise RegisterError("the source is valid in another row at the same time", overlap[0], "valid_from")
    changes = {
        metric: EarliestChange(milliseconds(changed_from), line, column)
        for metric, changed_from, line, column in connection.execute(_CHANGES, {"before": before})
    }
    connection.execute(_DROP)
    return Loaded(added, updated, count - added - updated, contributors, changes)


def _copy_in(connection: Connection, blocks: Iterable[RegisterColumns]) -> tuple[int, NDArray[np.int64]]:
    """Copy the rows into `register_rows`: how many they are, and the lines of all whose source may be there twice.

    Sources with the same id and metric have the same hash. So what is checked for repetitions is a few rows, unless
    many sources change within the file.
    """
    lines, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]

    def pieces() -> Iterator[bytes]:
        for block in blocks:
            for begin in range(0, len(block), COPIED_AT_ONCE):
                piece = block.take(np.arange(begin, min(begin + COPIED_AT_ONCE, len(block))))
                lines.append(piece.line)
                hashes.append(piece.source.hashes())
                yield _encoded(piece)

    binary.copy(connection, _COPY, pieces())
    line = np.concatenate(lines)
    return len(line), np.unique(line[repeated(np.concatenate(hashes))])


def _encoded(rows: RegisterColumns) -> bytes:
    """Rows in PostgreSQL's format, each with the order of its source and the hash of its contributor."""
    fact = np.full(len(rows), NOT_SAID) if rows.fact is None else rows.fact
    return binary.rows(
        [
            binary.integers(rows.line),
            binary.chosen(rows.places, rows.place),
            binary.texts(rows.source),
            binary.texts(rows.contributor),
            binary.times(rows.valid_from_ms),
            binary.times(rows.valid_to_ms),
            binary.integers(np.frombuffer(os.urandom(8 * len(rows)), np.int64)),
            binary.integers(rows.contributor.hashes().view(np.int64)),
            binary.integers(fact, fact != NOT_SAID),
        ]
    )


def _copy_repeated(connection: Connection, lines: NDArray[np.int64]) -> None:
    binary.copy(connection, _COPY_REPEATED, [binary.rows([binary.integers(lines)])])
    connection.execute("ANALYZE repeated_lines")


def _refuse_like_known(connection: Connection, comparable: Comparable) -> None:
    """Refuse a new source or contributor that is nearly equal to another, a new one or one of the register."""
    for table, column in (("sources", "source"), ("contributors", "contributor")):
        new = connection.execute(_UNKNOWN_IDS[column]).fetchall()
        if not new:
            continue
        found = Spellings(comparable)
        found.add(Texts.of([text for _, text in new]), np.array([line for line, _ in new], np.int64))
        for _, ids in numbered(connection, table):
            found.add(Texts.of(ids), np.zeros(len(ids), np.int64))
        refuse_nearly_equal(found.groups(), column)


def _number(connection: Connection, query: LiteralString) -> int:
    return int((connection.execute(query).fetchone() or (0,))[0])


def _compare(connection: Connection) -> tuple[int, int]:
    """How many rows are new, and how many have another end; raises `RegisterError` if one contradicts the register."""
    connection.execute(_COMPARE)
    changed = connection.execute(_CONTRADICTION).fetchone()
    if changed:
        connection.execute(_SAME_CONTRIBUTORS)
        changed = connection.execute(_CONTRADICTION).fetchone()
    if changed:
        line, column = changed
        raise RegisterError(
            f"the source is registered with another {column} from the same time on; "
            "end that row with valid_to and add one with a later valid_from",
            line,
            column,
        )
    connection.execute("ANALYZE differing")
    added, updated = connection.execute(_NEW_AND_MOVED).fetchone() or (0, 0)
    return added, updated
