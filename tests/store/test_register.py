from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import psycopg
import pytest

from store import first_register
from store.areas import Area, contributors, create_version, version_at, versions
from store.database import Connection, connect
from store.register_columns import Loaded, RegisterError
from store.resolution import SourceReader, resolve
from store.source_history import BEGINNING_MS, NEVER_MS, Resolved
from store.texts import Texts
from tests.store.registers import RegisterRow, load
from tests.waiting import until

pytestmark = pytest.mark.services

METRIC = "energy.import"
CLASSES = ("residential", "commercial")
DAY = 86_400_000
T0 = 20_000 * DAY


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def classes_of(resolved: Resolved, *ids: str) -> list[int]:
    rows = resolved.rows_of(ids)
    assert (rows >= 0).all()
    return resolved.values(rows).class_.tolist()


def areas_of(resolved: Resolved) -> set[int]:
    return set(resolved.values(resolved.rows_of(resolved.ids())).area.tolist())


def row(number: int, begins: int = T0, ends: int | None = None, **changes: Any) -> RegisterRow:
    given: dict[str, Any] = {"source": f"meter {number:04}", "metric": METRIC, "district": "a", "class_": "residential"}
    given |= {"contributor": f"customer {number:04}", **changes}
    return RegisterRow(line=number + 2, valid_from_ms=begins, valid_to_ms=ends, **given)


def numbers(connection: Connection, table: str) -> list[int]:
    return [n for (n,) in connection.execute(f"SELECT number FROM {table} ORDER BY {table[:-1]}").fetchall()]


def one_area(connection: Connection, districts: Sequence[str] = ("a", "b"), begins: int = T0) -> int:
    return create_version(connection, METRIC, begins, [Area("all", tuple(districts), 10)])


def test_numbers_are_dense_and_in_random_order(connection: Connection) -> None:
    assert load(connection, (row(n) for n in range(500))) == Loaded(500, 0, 0, 500)
    for table in ("sources", "contributors"):
        given = numbers(connection, table)
        assert sorted(given) == list(range(500))
        assert sum(after == before + 1 for before, after in pairwise(given)) < 20
    assert numbers(connection, "sources") != numbers(connection, "contributors")


def test_numbers_are_never_given_twice(connection: Connection) -> None:
    load(connection, [row(n) for n in range(10)])
    first = numbers(connection, "sources")
    assert load(connection, [row(n) for n in range(5, 20)]) == Loaded(10, 0, 5, 10)
    load(connection, [row(3, ends=T0 + DAY), row(3, begins=T0 + DAY, class_="commercial")])
    rows = connection.execute("SELECT source, number FROM sources WHERE valid_from = to_timestamp(%s)", (T0 / 1000,))
    after = dict(rows.fetchall())
    assert [after[f"meter {n:04}"] for n in range(10)] == first
    everything = [n for (n,) in connection.execute("SELECT number FROM sources")]
    assert sorted(everything) == list(range(21))


def test_loading_the_same_rows_again_changes_nothing_and_an_end_can_be_moved(connection: Connection) -> None:
    load(connection, [row(n) for n in range(4)])
    assert load(connection, [row(n) for n in range(4)]) == Loaded(0, 0, 4, 0)
    assert load(connection, [row(0, ends=T0 + DAY), row(1)]) == Loaded(0, 1, 1, 0)
    assert load(connection, [row(0)]) == Loaded(0, 1, 0, 0)


def structure(connection: Connection) -> list[Any]:
    """Indices and constraints of the register's tables."""
    indices = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('sources', 'contributors') ORDER BY 1"
    ).fetchall()
    keys = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE conrelid IN ('sources'::regclass, 'contributors'::regclass) ORDER BY 1"
    ).fetchall()
    return [indices, keys]


def test_indices_that_are_built_anew_are_the_same_and_hold_the_same_rows(connection: Connection) -> None:
    before = structure(connection)
    assert load(connection, (row(n) for n in range(50)), rebuilt_from=1) == Loaded(50, 0, 0, 50)
    assert load(connection, (row(n) for n in range(120)), rebuilt_from=1) == Loaded(70, 0, 50, 70)
    assert structure(connection) == before
    assert sorted(numbers(connection, "sources")) == sorted(numbers(connection, "contributors")) == list(range(120))
    with pytest.raises(RegisterError, match="same time"):
        load(connection, [*(row(n) for n in range(300)), row(7, begins=T0 + DAY)], rebuilt_from=1)
    assert structure(connection) == before
    assert len(numbers(connection, "sources")) == 120


def test_ids_with_the_same_hash_are_told_apart(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Texts, "hashes", lambda texts: np.full(len(texts), 7, np.uint64))
    rows = [row(n, contributor=f"customer {n % 7}") for n in range(40)]
    assert load(connection, rows) == Loaded(40, 0, 0, 7)
    assert load(connection, [*rows, row(50, contributor="customer 3")]) == Loaded(1, 0, 40, 0)
    assert sorted(numbers(connection, "contributors")) == list(range(7))
    found = connection.execute(
        "SELECT source, c.contributor FROM sources JOIN contributors c ON c.number = sources.contributor"
    ).fetchall()
    assert dict(found) == {each.source: each.contributor for each in rows} | {"meter 0050": "customer 3"}
    with pytest.raises(RegisterError, match="as line 2"):
        load(connection, [row(0), row(60), row(61), row(0, ends=T0 + DAY)])


def test_ids_may_hold_what_the_copy_format_escapes(connection: Connection) -> None:
    ids = ["a\\b", "\\N", "\\.", "tab\there", "quo'te\"", "line\\n"]
    load(connection, [row(n, source=text, contributor=text) for n, text in enumerate(ids)])
    one_area(connection)
    assert resolve(connection, METRIC, T0, CLASSES).ids() == sorted(ids)
    kept = connection.execute("SELECT contributor FROM contributors").fetchall()
    assert sorted(text for (text,) in kept) == sorted(ids)


@pytest.mark.parametrize("column", ["class_", "district", "contributor"])
def test_class_district_and_contributor_change_only_with_a_new_row(connection: Connection, column: str) -> None:
    changed: dict[str, Any] = {column: "commercial"}
    load(connection, [row(n) for n in range(4)])
    with pytest.raises(RegisterError, match="later valid_from") as caught:
        load(connection, [row(8), row(2, **changed)])
    assert (caught.value.line, caught.value.column) == (4, column.rstrip("_"))
    assert "meter" not in str(caught.value)
    assert len(numbers(connection, "sources")) == 4
    assert load(connection, [row(2, ends=T0 + 1), row(2, begins=T0 + 1, **changed)]).sources_new == 1


@pytest.mark.parametrize(
    "rows",
    [
        [row(1), row(1)],
        [row(1), row(1, begins=T0 + DAY)],
        [row(1, ends=T0 + DAY + 1), row(1, begins=T0 + DAY)],
        [row(1, begins=T0 - DAY), row(5)],
        [row(1, begins=T0 + DAY, ends=T0 + 2 * DAY)],
    ],
)
def test_a_source_is_never_valid_twice_at_one_time(connection: Connection, rows: list[RegisterRow]) -> None:
    load(connection, [row(1)])
    with pytest.raises(RegisterError) as caught:
        load(connection, rows)
    assert caught.value.line == 3
    assert len(numbers(connection, "sources")) == 1


def test_an_error_while_rows_are_read_loads_nothing(connection: Connection) -> None:
    def rows() -> Iterator[RegisterRow]:
        yield row(1)
        raise RegisterError("is empty", 3, "source")

    with pytest.raises(RegisterError):
        load(connection, rows())
    assert numbers(connection, "sources") == []
    assert load(connection, [row(1)]).sources_new == 1


def test_resolving_finds_the_valid_sources_and_how_long_they_stay_the_same(connection: Connection) -> None:
    load(
        connection,
        [
            row(1),
            row(2, ends=T0 + 5 * DAY),
            row(2, begins=T0 + 5 * DAY, class_="commercial", district="b"),
            row(3, begins=T0 + 7 * DAY),
            row(4, source="đồng hồ", district="b"),
            row(5, metric="energy.solar"),
        ],
    )
    area = one_area(connection)
    before = resolve(connection, METRIC, T0 - 1, CLASSES)
    assert (len(before), before.holds_from_ms, before.holds_until_ms) == (0, BEGINNING_MS, T0)
    early = resolve(connection, METRIC, T0 + DAY, CLASSES)
    assert early.ids() == ["meter 0001", "meter 0002", "đồng hồ"]
    assert (early.holds_from_ms, early.holds_until_ms) == (T0, T0 + 5 * DAY)
    assert classes_of(early, "meter 0001", "meter 0002", "đồng hồ") == [0, 0, 0]
    found = early.rows_of(["đồng hồ", "meter 0003", "meter 0001", "", "z" * 300, "meter 0001"]).tolist()
    assert [row >= 0 for row in found] == [True, False, True, False, False, True]
    assert found[2] == found[5] != found[0]
    changed = resolve(connection, METRIC, T0 + 5 * DAY, CLASSES)
    assert changed.ids() == ["meter 0001", "meter 0002", "đồng hồ"]
    assert classes_of(changed, "meter 0001", "meter 0002", "đồng hồ") == [0, 1, 0]
    late = resolve(connection, METRIC, T0 + 9 * DAY, CLASSES)
    assert classes_of(late, "meter 0002") == [1]
    assert (late.holds_from_ms, late.holds_until_ms) == (T0 + 7 * DAY, NEVER_MS)
    assert areas_of(late) == {n for v in versions(connection, METRIC) for n in v.areas}
    assert area == version_at(connection, METRIC, T0)
    rows = connection.execute("SELECT s.source, s.number, contributor FROM sources s WHERE metric = %s", (METRIC,))
    values = early.values(early.rows_of(early.ids()))
    assert set(zip(early.ids(), values.number.tolist(), values.contributor.tolist(), strict=True)) <= set(rows)


def test_one_source_can_be_resolved_alone(connection: Connection) -> None:
    load(connection, [row(1), row(2, begins=T0 + DAY, ends=T0 + 2 * DAY)])
    one_area(connection)
    alone = resolve(connection, METRIC, T0 + 5 * DAY, CLASSES, source="meter 0001")
    assert alone.ids() == ["meter 0001"]
    assert (alone.holds_from_ms, alone.holds_until_ms) == (T0, NEVER_MS)
    assert len(resolve(connection, METRIC, T0, CLASSES, source="nobody")) == 0


def test_an_empty_register_resolves_to_nothing(connection: Connection) -> None:
    resolved = resolve(connection, METRIC, T0, CLASSES)
    assert len(resolved) == 0
    assert resolved.rows_of(["a"]).tolist() == [-1]
    assert (resolved.holds_from_ms, resolved.holds_until_ms) == (BEGINNING_MS, NEVER_MS)


def test_a_source_without_area_or_with_an_unknown_class_is_an_error(connection: Connection) -> None:
    load(connection, [row(1), row(2, district="b", class_="commercial")])
    with pytest.raises(RegisterError, match="no area"):
        resolve(connection, METRIC, T0, CLASSES)
    one_area(connection, ["a"])
    with pytest.raises(RegisterError, match="no area"):
        resolve(connection, METRIC, T0, CLASSES)
    one_area(connection)
    with pytest.raises(RegisterError, match="class"):
        resolve(connection, METRIC, T0, ["residential"])


def test_the_areas_are_those_of_the_time_and_before_all_versions_the_earliest(connection: Connection) -> None:
    load(connection, [row(1, begins=T0 - 100 * DAY)])
    second, first = (one_area(connection, begins=T0 + shift) for shift in (10 * DAY, 0))
    by_time = {at: version_at(connection, METRIC, T0 + at) for at in (-50 * DAY, 0, 10 * DAY - 1, 10 * DAY, 99 * DAY)}
    assert list(by_time.values()) == [first, first, first, second, second]
    area = {v.version: list(v.areas) for v in versions(connection, METRIC)}
    for at, version in by_time.items():
        resolved = resolve(connection, METRIC, T0 + at, CLASSES)
        assert areas_of(resolved) == set(area[version or 0])
        assert resolved.holds(T0 + at)
        # The earliest version's beginning is no change: it serves the time before, too.
        assert resolved.holds(T0 - 1) == (version == first)


def test_replacing_a_version_leaves_one_with_numbers_never_used_before(connection: Connection) -> None:
    one_area(connection)
    before = {n for v in versions(connection, METRIC) for n in v.areas}
    create_version(connection, METRIC, T0, [Area("A", ("a",), 4), Area("B", ("b",), 6)])
    (version,) = versions(connection, METRIC)
    assert sorted(version.areas.values(), key=lambda area: area.name) == [Area("A", ("a",), 4), Area("B", ("b",), 6)]
    assert not before & set(version.areas)


def test_contributors_count_once_in_all_districts_and_only_while_valid(connection: Connection) -> None:
    load(
        connection,
        [
            row(1, contributor="x"),
            row(2, contributor="x"),
            row(3, contributor="x", district="b"),
            row(4, district="b", class_="commercial"),
            row(5, ends=T0 + DAY),
            row(6, metric="energy.solar"),
        ],
    )
    elsewhere = {("b", "residential"): 0}  # customer x has a source there, and counts in a
    assert contributors(connection, METRIC, T0) == {("a", "residential"): 2, ("b", "commercial"): 1, **elsewhere}
    assert contributors(connection, METRIC, T0 + DAY) == {("a", "residential"): 1, ("b", "commercial"): 1, **elsewhere}
    assert contributors(connection, METRIC, T0 - 1) == {}


def test_resolving_inside_a_transaction_sees_it(connection: Connection) -> None:
    with connection.transaction():
        load(connection, [row(1)])
        one_area(connection)
        assert len(resolve(connection, METRIC, T0, CLASSES)) == 1
        raise psycopg.Rollback
    assert len(resolve(connection, METRIC, T0, CLASSES)) == 0


def test_a_reader_reads_a_source_once_and_follows_loads_and_areas(connection: Connection) -> None:
    load(connection, [row(n) for n in range(6)])
    one_area(connection)
    reader = SourceReader(connection, METRIC, CLASSES)
    first = reader.at(T0)
    connection.execute(
        "UPDATE sources SET class = 'commercial' WHERE source = 'meter 0000'"
    )  # no load does this, so no reader looks for it
    load(connection, [row(1, ends=T0 + DAY), row(6), row(7, metric="energy.solar")])
    create_version(connection, METRIC, T0 + 3 * DAY, [Area("A", ("a",), 4), Area("B", ("b",), 6)])
    then = reader.at(T0 + DAY)
    assert then.ids() == [f"meter {n:04}" for n in (0, 2, 3, 4, 5, 6)]
    assert (then.holds_from_ms, then.holds_until_ms) == (T0 + DAY, T0 + 3 * DAY)
    assert classes_of(then, "meter 0000", "meter 0006") == [0, 0]
    assert areas_of(reader.at(T0 + 3 * DAY)) < {n for v in versions(connection, METRIC) for n in v.areas}
    assert areas_of(reader.at(T0 + 3 * DAY)) != areas_of(then)
    # What was returned before stays what it was.
    assert first.ids() == [f"meter {n:04}" for n in range(6)]


def test_an_error_of_a_reader_is_over_once_the_register_is_right(connection: Connection) -> None:
    load(connection, [row(1), row(2, district="b")])
    one_area(connection, ["a"])
    reader = SourceReader(connection, METRIC, CLASSES)
    with pytest.raises(RegisterError, match="no area"):
        reader.at(T0)
    one_area(connection)
    assert len(reader.at(T0)) == 2


def test_a_load_that_another_one_has_come_before_adds_to_what_that_one_left(
    connection: Connection, database_url: str
) -> None:
    def rows() -> Iterator[RegisterRow]:
        yield from (row(n) for n in range(3))
        with connect(database_url) as other:
            load(other, [row(2), row(3)])
        yield row(4)

    assert load(connection, rows()) == Loaded(3, 0, 1, 3)
    assert sorted(numbers(connection, "sources")) == list(range(5))


def test_a_first_load_may_take_long_to_read_its_rows(connection: Connection, database_url: str) -> None:
    busy = (
        "SELECT FROM pg_stat_activity WHERE pid = %s AND NOT (state = 'idle in transaction'"
        " AND state_change < clock_timestamp() - interval '0.2 seconds')"
    )
    reading, limit = connection.info.backend_pid, "100ms"

    def rows() -> Iterator[RegisterRow]:
        with connect(database_url) as other:
            until(
                lambda: other.execute(busy, (reading,)).fetchone() is None, "the load is idle, or its connection gone"
            )
        yield row(1)

    connection.execute(f"SET idle_in_transaction_session_timeout = '{limit}'")
    assert load(connection, rows()).sources_new == 1
    assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (limit,)


def test_a_first_load_that_is_cut_off_leaves_the_register_as_it_was(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, loading = structure(connection), connection.info.backend_pid
    encoded = first_register._sources

    def cut_off(*rows: Any) -> Iterator[bytes]:
        blocks = encoded(*rows)
        yield next(blocks)
        with connect(database_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 60000)", (loading,))
        yield from blocks

    with monkeypatch.context() as patched:
        patched.setattr("store.first_register.COPIED_AT_ONCE", 10)
        patched.setattr("store.first_register._sources", cut_off)
        with pytest.raises(psycopg.OperationalError):
            load(connection, (row(n) for n in range(50)), rebuilt_from=1)
    with connect(database_url) as after:
        assert structure(after) == before
        assert numbers(after, "sources") == numbers(after, "contributors") == []
        assert load(after, (row(n) for n in range(50)), rebuilt_from=1) == Loaded(50, 0, 0, 50)
        assert structure(after) == before
