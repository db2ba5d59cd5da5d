"""The register: the number, contributor, class and district of every source.

Real ids are here and nowhere else. Numbers are dense, in random order, and never given twice: rows are never deleted.
Sources are looked up in `store.resolution`; the areas of a metric are in `store.areas`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, LiteralString

import numpy as np
from numpy.typing import NDArray

from errors import OperatorError
from store.database import Connection
from store.moments import milliseconds, moment
from store.spellings import Comparable, Spellings, numbered

REBUILT_FROM = 50_000
"""From so many rows on, a load of more rows than the register has builds the indices anew instead of extending them."""

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
    line, source, metric, district, contributor, class, valid_from, valid_to, source_order, contributor_hash{fact}
) FROM STDIN
"""
_COPY_REPEATED = "COPY repeated_lines FROM STDIN"
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
    SELECT DISTINCT ON (contributor_hash, contributor) contributor_hash, contributor FROM register_rows r {unknown}
    ORDER BY contributor_hash, contributor
) unnumbered
"""
_UNKNOWN = "WHERE NOT EXISTS (SELECT FROM contributors c WHERE c.contributor = r.contributor)"
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
    WHERE %(before)s > 0 AND number >= %(before)s AND EXISTS (
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
    UNION SELECT source, metric FROM sources WHERE %(before)s > 0 AND number >= %(before)s
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
# Building an index from millions of rows takes a fraction of the time of extending it by each, also where the rows
# come in its order; the same goes for the check of a foreign key. Other tables need the primary key of `sources`.
_DROP_INDICES = """
ALTER TABLE sources DROP CONSTRAINT sources_contributor_fkey, DROP CONSTRAINT sources_source_metric_valid_from_key;
ALTER TABLE contributors DROP CONSTRAINT contributors_contributor_key, DROP CONSTRAINT contributors_pkey;
DROP INDEX sources_metric_number_idx
"""
_BUILD_CONTRIBUTORS = """
ALTER TABLE contributors ADD PRIMARY KEY (number), ADD UNIQUE (contributor);
ANALYZE contributors
"""
_BUILD_SOURCES = """
ALTER TABLE sources ADD UNIQUE (source, metric, valid_from), ADD FOREIGN KEY (contributor) REFERENCES contributors;
CREATE INDEX sources_metric_number_idx ON sources (metric, number);
ANALYZE sources
"""
_TO_ESCAPE = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_TIMES_KEPT = 100_000


class RegisterError(OperatorError):
    """A register that can't be loaded or used. `line` and `column` are the place in the file; ids are not repeated."""

    def __init__(self, problem: str, line: int | None = None, column: str | None = None) -> None:
        where = "" if line is None else f"line {line}" + (f", column {column}" if column else "") + ": "
        super().__init__(where + problem)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RegisterColumns:
    """Rows of the register as columns of equal length. A row is a source of a metric for a span of time.

    Times are ms since 1970, UTC. `valid_to_ms` is the first time after the span, None for an open end; `line` is the
    row's place in the file, for errors. `fact` is what is known of a source in the unit of its metric, 0 if nothing
    is, None where the file says nothing about it.
    """

    line: Sequence[int]
    source: Sequence[str]
    metric: Sequence[str]
    district: Sequence[str]
    contributor: Sequence[str]
    class_: Sequence[str]
    valid_from_ms: Sequence[int]
    valid_to_ms: Sequence[int | None]
    fact: Sequence[int | None] | None = None


@dataclass(frozen=True, slots=True)
class EarliestChange:
    """Of all changes of known sources that a load brings, the one that holds from the earliest time on.

    A new row, or an end that has moved, by `column`. `from_ms` is milliseconds since 1970; `line` is that of the row.
    """

    from_ms: int
    line: int
    column: Literal["valid_from", "valid_to"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: numbers of rows, and by metric the earliest change of sources that were known before."""

    sources_new: int
    sources_updated: int
    sources_unchanged: int
    contributors_new: int
    changes: Mapping[str, EarliestChange] = field(default_factory=dict, repr=False, compare=False)


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
        connection.execute(_CREATE)
        spellings = None if _number(connection, _COUNT) else (Spellings(comparable), Spellings(comparable))
        count, repeated = _copy_in(connection, blocks, spellings)
        connection.execute("ANALYZE register_rows")
        connection.execute("LOCK TABLE contributors, sources IN SHARE ROW EXCLUSIVE MODE")
        before, change = _number(connection, _COUNT), _number(connection, _LAST_CHANGE)
        if len(repeated):
            _copy_repeated(connection, repeated)
            if twice := connection.execute(_TWICE).fetchone():
                raise RegisterError(f"the same source, metric and valid_from as line {twice[1]}", twice[0], "source")
        added, updated = _compare(connection) if before else (count, 0)
        if added:
            _refuse_nearly_equal(connection, before, spellings, comparable)
        rebuilt = count >= rebuilt_from and count > before
        if rebuilt:
            connection.execute(_DROP_INDICES)
        contributors = _add_contributors(connection, _UNKNOWN if before else "") if added else 0
        if rebuilt:
            connection.execute(_BUILD_CONTRIBUTORS)
        if added:
            connection.execute(_NEW_SOURCES)
        if rebuilt:
            connection.execute(_BUILD_SOURCES)
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


def _copy_in(
    connection: Connection, blocks: Iterable[RegisterColumns], spellings: tuple[Spellings, Spellings] | None
) -> tuple[int, NDArray[np.int64]]:
    """Copy the rows into `register_rows`: how many they are, and the lines of all whose source may be there twice.

    All sources and all contributors are added to `spellings`, each with its line.

    Sources with the same id and metric have the same hash. So what is checked for repetitions is a few rows, unless
    many sources change within the file.
    """
    lines, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    texts = _Texts()
    remaining = iter(blocks)
    first = next(remaining, None)
    facts = first is not None and first.fact is not None
    with connection.cursor() as cursor, cursor.copy(_COPY.format(fact=", fact" if facts else "")) as copy:
        for block in () if first is None else chain([first], remaining):
            copy.write(texts.of(block))
            if spellings is not None:
                spellings[0].add(block.source, block.line)
                spellings[1].add(block.contributor, block.line)
            lines.append(np.array(block.line, np.int64))
            keys = zip(block.source, block.metric, strict=True)
            hashes.append(np.fromiter(map(hash, keys), np.int64, len(block.line)))
    line, hashed = np.concatenate(lines), np.concatenate(hashes)
    ordered = np.sort(hashed)
    return len(line), np.unique(line[np.isin(hashed, ordered[1:][ordered[1:] == ordered[:-1]])])


class _Texts:
    """Rows in PostgreSQL's text format, each with the order of its source and the hash of its contributor."""

    def __init__(self) -> None:
        self._times: dict[int | None, str] = {}
        self._secret = os.urandom(16).hex()

    def of(self, block: RegisterColumns) -> bytes:
        count, times = len(block.line), self._times
        if not count:
            return b""
        if len(times) > _TIMES_KEPT:
            times.clear()
        for time_ms in {*block.valid_from_ms, *block.valid_to_ms} - times.keys():
            times[time_ms] = r"\N" if time_ms is None else moment(time_ms).isoformat()
        texts = (block.source, block.metric, block.district, block.contributor, block.class_)
        rows = zip(
            map(str, block.line),
            *map(_escaped, texts),
            map(times.__getitem__, block.valid_from_ms),
            map(times.__getitem__, block.valid_to_ms),
            map(str, np.frombuffer(os.urandom(8 * count), np.int64).tolist()),
            map(str, map(hash, map(self._secret.__add__, block.contributor))),
            *([] if block.fact is None else [[r"\N" if fact is None else str(fact) for fact in block.fact]]),
            strict=True,
        )
        return ("\n".join(map("\t".join, rows)) + "\n").encode()


def _escaped(column: Sequence[str]) -> Sequence[str]:
    return [text.translate(_ESCAPES) for text in column] if _TO_ESCAPE.search("".join(column)) else column


def _copy_repeated(connection: Connection, lines: NDArray[np.int64]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY_REPEATED) as copy:
        copy.write("".join(f"{line}\n" for line in lines.tolist()))
    connection.execute("ANALYZE repeated_lines")


def _refuse_nearly_equal(
    connection: Connection, before: int, spellings: tuple[Spellings, Spellings] | None, comparable: Comparable
) -> None:
    """Refuse a new source or contributor that is nearly equal to another; `spellings` are those of the whole load."""
    for index, (table, column) in enumerate((("sources", "source"), ("contributors", "contributor"))):
        if before:
            new = connection.execute(_UNKNOWN_IDS[column]).fetchall()
            found = Spellings(comparable)
            found.add([text for _, text in new], [line for line, _ in new])
            for _, ids in numbered(connection, table) if new else ():
                found.add(ids, np.zeros(len(ids), np.int64))
            groups = found.groups()
        else:
            groups = () if spellings is None else spellings[index].groups()
        # What was loaded before has the label 0, and may be nearly equal to something else that was.
        wrong = [(labels[0], group[0][0]) for group in groups for labels in group[1:] if labels[0]]
        if wrong:
            line, other = min(wrong)
            where = (
                f"on line {other}: if it is the same {column}, spell it the same way there and here"
                if other
                else f"in the register: spell the {column} as it is there (`sistercity register spellings` lists them)"
            )
            raise RegisterError(
                f"differs in case, width, blanks or signs that are not seen from one {where}", line, column
            )


def _number(connection: Connection, query: LiteralString) -> int:
    return int((connection.execute(query).fetchone() or (0,))[0])


def _add_contributors(connection: Connection, unknown: LiteralString) -> int:
    return connection.execute(_NEW_CONTRIBUTORS.format(unknown=unknown)).rowcount


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
