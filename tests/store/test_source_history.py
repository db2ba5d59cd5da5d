from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.identity import comparable
from store import register
from store.areas import Area, create_version
from store.database import Connection, connect
from store.register_columns import RegisterColumns
from store.resolution import SourceReader, resolve
from store.source_history import BEGINNING_MS, NEVER_MS, Resolved, SourceHistory, SourceRows
from tests.soak import amount, soak

DISTRICTS = {"a": 7, "b": 8}
CLASSES = ("residential", "commercial")
METRIC = "energy.import"
IDS = ("m", "m1", "m10", "đồng hồ", "x" * 200)
LAST = 12


@dataclass(frozen=True)
class Span:
    """A row of the register, with its number."""

    id: str
    number: int
    contributor: int
    district: str
    class_: str
    begins: int
    ends: int | None
    fact: int = 0

    def valid(self, time: int) -> bool:
        return self.begins <= time and (self.ends is None or self.ends > time)


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Rows of a few sources, none of them valid in two rows at one time, in any order."""
    found = []
    for source in IDS:
        bounds = sorted(draw(st.sets(st.integers(1, LAST), max_size=5)))
        for begins, following in pairwise([*bounds, None]):
            choices = [None] if following is None else [following, *range(begins + 1, following)]
            district, class_ = draw(st.sampled_from(sorted(DISTRICTS))), draw(st.sampled_from(CLASSES))
            owner = draw(st.integers(0, 3))
            fact = draw(st.integers(0, 2))
            found.append(Span(source, 0, owner, district, class_, begins, draw(st.sampled_from(choices)), fact))
    return [replace(span, number=number) for number, span in enumerate(draw(st.permutations(found)))]


def rows(spans: Sequence[Span]) -> SourceRows:
    return SourceRows(
        id=[span.id for span in spans],
        place=[(span.district, span.class_) for span in spans],
        number=np.array([span.number for span in spans], np.uint32),
        contributor=np.array([span.contributor for span in spans], np.uint32),
        begins_ms=np.array([span.begins for span in spans], np.int64),
        ends_ms=np.array([NEVER_MS if span.ends is None else span.ends for span in spans], np.int64),
        fact=np.array([span.fact for span in spans], np.uint32),
    )


def check(resolved: Resolved, spans: Sequence[Span], time: int, areas: dict[str, int] = DISTRICTS) -> None:
    """A resolution holds what going through all rows finds."""
    valid = {span.id: span for span in spans if span.valid(time)}
    assert resolved.ids() == sorted(valid)
    assert len(resolved) == len(valid)
    asked = [*IDS, "nobody", "", "m"]
    found = resolved.rows_of(asked)
    assert [text for text, row in zip(asked, found, strict=True) if row >= 0] == [t for t in asked if t in valid]
    values = resolved.values(found[found >= 0])
    wanted = [valid[text] for text in asked if text in valid]
    assert values.contributor.tolist() == [span.contributor for span in wanted]
    assert values.area.tolist() == [areas[span.district] for span in wanted]
    assert values.class_.tolist() == [CLASSES.index(span.class_) for span in wanted]
    assert values.number.tolist() == [span.number for span in wanted]
    assert values.fact.tolist() == [span.fact for span in wanted]
    changes = {span.begins for span in spans} | {span.ends for span in spans if span.ends is not None}
    assert resolved.holds_from_ms == max((at for at in changes if at <= time), default=BEGINNING_MS)
    assert resolved.holds_until_ms == min((at for at in changes if at > time), default=NEVER_MS)


TIMES = st.lists(st.integers(0, LAST + 1), min_size=1, max_size=4)


@given(spans(), st.integers(1, 5), st.lists(TIMES, min_size=1, max_size=4))
def test_rows_added_in_any_portions_give_what_all_at_once_give(
    spans: list[Span], portion: int, times: list[list[int]]
) -> None:
    history = SourceHistory()
    for start in range(0, max(len(spans), 1), portion):
        history.add(rows(spans[start : start + portion]))
        for time in times[start % len(times)]:
            check(history.at(time, DISTRICTS, CLASSES), spans[: start + portion], time)


@given(spans(), st.data())
def test_changed_rows_hold_from_then_on_and_change_nothing_that_was_resolved_before(
    spans: list[Span], data: st.DataObject
) -> None:
    history = SourceHistory()
    history.add(rows(spans))
    time = data.draw(st.integers(0, LAST + 1))
    before = history.at(time, DISTRICTS, CLASSES)
    moved = [
        replace(
            span,
            ends=data.draw(st.integers(span.begins + 1, span.ends or LAST)),
            contributor=data.draw(st.integers(0, 3)),
            fact=data.draw(st.integers(0, 2)),
        )
        if (span.ends or LAST) > span.begins + 1 and data.draw(st.booleans())
        else span
        for span in spans
    ]
    changed = rows([span for span, old in zip(moved, spans, strict=True) if span != old][::-1])
    history.change(
        np.append(changed.number, np.uint32(1000)),
        np.append(changed.ends_ms, np.int64(5)),
        np.append(changed.contributor, np.uint32(5)),
        np.append(changed.fact, np.uint32(5)),
    )
    check(before, spans, time)
    for at in range(LAST + 2):
        check(history.at(at, DISTRICTS, CLASSES), moved, at)


class SameHash(str):
    """An id whose hash is that of every other one."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, str(other))


@given(st.permutations([SameHash(text) for text in ("a", "b", "ab", "đ", "e" * 100, "f" * 100)]))
def test_ids_with_the_same_hash_are_told_apart(ids: list[str]) -> None:
    kept, strangers = ids[:4], ids[4:]
    history = SourceHistory()
    history.add(rows([Span(text, n, n, "a", CLASSES[0], 0, None) for n, text in enumerate(kept)]))
    resolved = history.at(5, DISTRICTS, CLASSES)
    found = resolved.rows_of(kept)
    assert resolved.values(found).number.tolist() == [0, 1, 2, 3]
    assert resolved.rows_of(strangers).tolist() == [-1, -1]


def test_more_ids_than_are_compared_at_once_are_found() -> None:
    history, count = SourceHistory(), 50_000
    history.add(rows([Span(f"meter {n}", n, n, "a", CLASSES[0], 0, None) for n in range(count)]))
    resolved = history.at(0, DISTRICTS, CLASSES)
    found = resolved.rows_of([f"meter {n}" for n in reversed(range(count + 1))])
    assert found[0] == -1
    assert resolved.values(found[1:]).number.tolist() == list(reversed(range(count)))


@soak(minutes=2.5)
@pytest.mark.services
def test_a_reader_that_follows_loads_and_times_holds_what_a_fresh_one_reads(database_url: str) -> None:
    with connect(database_url) as connection:
        settings(max_examples=amount(10, soak=300))(given(spans(), st.integers(1, 6), st.data())(follows))(connection)


def follows(connection: Connection, spans: list[Span], portion: int, data: st.DataObject) -> None:
    with connection.transaction():
        create_version(connection, METRIC, 4, [Area("all", tuple(DISTRICTS), 1)])
        create_version(connection, METRIC, 8, [Area(name, (name,), 1) for name in DISTRICTS])
        reader, loaded = SourceReader(connection, METRIC, CLASSES), {}
        for start in range(0, max(len(spans), 1), portion):
            for span in spans[start : start + portion]:
                loaded[span.id, span.begins] = span
            for key, span in loaded.items():
                if (span.ends or LAST) > span.begins + 1 and data.draw(st.booleans()):
                    ends, fact = st.integers(span.begins + 1, span.ends or LAST), st.integers(0, 2)
                    loaded[key] = replace(span, ends=data.draw(ends), fact=data.draw(fact))
            register.load(connection, [block(list(loaded.values()))], comparable=comparable)
            for time in data.draw(st.lists(st.integers(0, LAST + 1), min_size=1, max_size=4)):
                same_sources(reader.at(time), resolve(connection, METRIC, time, CLASSES))
                assert reader.at(time).ids() == sorted(span.id for span in loaded.values() if span.valid(time))
        raise psycopg.Rollback


def same_sources(resolved: Resolved, fresh: Resolved) -> None:
    assert resolved.ids() == fresh.ids()
    asked = [*IDS, "nobody"]
    found, wanted = resolved.rows_of(asked), fresh.rows_of(asked)
    assert np.array_equal(found >= 0, wanted >= 0)
    values, others = resolved.values(found[found >= 0]), fresh.values(wanted[wanted >= 0])
    assert [column.tolist() for column in values] == [column.tolist() for column in others]
    assert (resolved.holds_from_ms, resolved.holds_until_ms) == (fresh.holds_from_ms, fresh.holds_until_ms)


def block(spans: Sequence[Span]) -> RegisterColumns:
    return RegisterColumns.of(
        line=list(range(2, 2 + len(spans))),
        source=[span.id for span in spans],
        metric=[METRIC] * len(spans),
        district=[span.district for span in spans],
        contributor=[f"customer {span.contributor}" for span in spans],
        class_=[span.class_ for span in spans],
        valid_from_ms=[span.begins for span in spans],
        valid_to_ms=[span.ends for span in spans],
        fact=[span.fact for span in spans],
    )
