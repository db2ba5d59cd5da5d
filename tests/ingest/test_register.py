import unicodedata
from collections.abc import Callable

import numpy as np
import pytest

from ingest.identity import LONGEST_ID
from ingest.register import MetricSources, Register, StoredSources, stored_register
from ingest.register_file import load_register
from ingest.register_table import COLUMNS
from schemas.catalogue import Metric, catalogue, sent_in
from schemas.topics import REGIONS
from store.database import connect
from store.source_history import BEGINNING_MS, NEVER_MS, SourceHistory, SourceRows
from tests.ingest.registers import InMemorySources, Registered
from tests.ingest.small_city import END, HOUR, city

METRIC = catalogue()["traffic.regions"]
MINUTE = 60_000


def at_end() -> int:
    return END


def counting(clock: Callable[[], int] = at_end, *, ends: int = NEVER_MS) -> tuple[Register, list[int]]:
    """A register that has one more source each time it is read; the times that it was read for."""
    read_at: list[int] = []

    def read(metric: Metric, time_ms: int) -> MetricSources:
        read_at.append(time_ms)
        rows = {source: Registered(7, 8, 9) for source in "abc"[: len(read_at)]}
        return InMemorySources(rows, *((BEGINNING_MS, ends) if time_ms < ends else (ends, NEVER_MS)))

    return Register(read, clock), read_at


def stored(*ids: str) -> StoredSources:
    """Sources with the numbers 10, 11... in the order of their ids, as if they were in the database."""
    history, count = SourceHistory(), len(ids)
    history.add(
        SourceRows(
            id=sorted(ids),
            place=[(f"town-{n}", "second") for n in range(count)],
            number=np.arange(10, 10 + count, dtype=np.uint32),
            contributor=np.arange(20, 20 + count, dtype=np.uint32),
            begins_ms=np.zeros(count, np.int64),
            ends_ms=np.full(count, NEVER_MS),
            fact=np.arange(40, 40 + count, dtype=np.uint32),
        )
    )
    return StoredSources(history.at(0, {f"town-{n}": 30 + n for n in range(count)}, ["first", "second"]))


def test_a_register_that_is_loaded_meanwhile_is_noticed_within_a_minute_by_the_clock() -> None:
    now = iter(END + second * 1_000 for second in range(130))
    register, read_at = counting(lambda: next(now))
    found = [register.find([METRIC], "b", 5) is not None for _ in range(130)]
    assert read_at == [5, 5, 5]
    assert found == [False] * 60 + [True] * 70


def test_what_was_read_before_the_clock_was_set_back_is_not_used_again() -> None:
    now = [END]
    register, read_at = counting(lambda: now[0])
    for shift in (0, -1, MINUTE - 2, -HOUR):
        now[0] = END + shift
        register.at(METRIC, 5)
    assert len(read_at) == 3


def test_a_source_is_not_found_past_its_end_however_fresh_the_register_is() -> None:
    register, read_at = counting(ends=5_000)
    assert register.at(METRIC, 0) is register.at(METRIC, 4_999)
    assert register.at(METRIC, 5_000).holds_from_ms == 5_000
    assert read_at == [0, 5_000]


def test_each_metric_is_read_once_for_as_long_as_it_holds() -> None:
    read: list[str] = []

    def sources(metric: Metric, time_ms: int) -> MetricSources:
        read.append(metric.name)
        return InMemorySources({})

    register, metrics = Register(sources, at_end), sent_in(REGIONS)
    for time_ms in (0, 10**12, 5):
        assert register.find(metrics, "a", time_ms) is None
    assert read == [metric.name for metric in metrics]


def test_a_source_of_several_metrics_is_found_under_the_first() -> None:
    first, second = sent_in(REGIONS)[:2]
    numbers = {first.name: 1, second.name: 2}
    register = Register(lambda metric, time_ms: InMemorySources({"a": Registered(numbers[metric.name], 3, 4)}), at_end)
    for metrics in ([first, second], [second, first]):
        entry = register.find(metrics, "a", 0)
        assert entry is not None
        assert (entry.metric, entry.number) == (metrics[0], numbers[metrics[0].name])
        assert (entry.contributor, entry.area, entry.class_) == (3, 4, metrics[0].classes[0])


def test_sources_are_looked_up_in_the_order_of_the_ids() -> None:
    columns = stored("b", "a", "c").look_up(["c", "x", "a", "c"])
    assert columns.known.tolist() == [True, False, True, True]
    assert columns.number.tolist() == [12, 0, 10, 12]
    assert columns.contributor.tolist() == [22, 0, 20, 22]
    assert columns.area.tolist() == [32, 0, 30, 32]
    assert columns.class_.tolist() == [1, 0, 1, 1]
    assert columns.take(np.array([2, 2])).number.tolist() == [10, 10]
    assert stored().look_up(["a"]).known.tolist() == [False]
    assert stored("a").look_up([]).known.tolist() == []


@pytest.mark.parametrize(
    "spelled",
    [
        unicodedata.normalize("NFD", "Điểm 12"),
        " Điểm 12\u00a0",
        "Điểm ۱۲",
        "Điê\u0309m 12",
    ],
)
def test_a_source_is_found_in_any_spelling_of_its_id(spelled: str) -> None:
    sources = stored("Điểm 12", "điểm 12", "other")
    assert sources.look_up([spelled, "Điểm 12"]).number.tolist() == [11, 11]
    # As long as a register from before holds the spelling itself, that is what its readings mean.
    before = stored(spelled, "Điểm 12") if len(spelled.strip()) == len(spelled) else None
    assert before is None or len(set(before.look_up([spelled, "Điểm 12"]).number.tolist())) == 2


def test_a_fact_is_that_of_its_source_at_its_time() -> None:
    assert stored("a", "b").look_up(["b", "x", " a "]).fact.tolist() == [41, 0, 40]


@pytest.mark.parametrize("source", ["", "x" * (LONGEST_ID + 1), "a\0", "a\nb", "\udce9"])
def test_an_id_that_no_register_can_hold_is_unknown(source: str) -> None:
    assert stored("a", "b").look_up(["a", source]).known.tolist() == [True, False]
    register = Register(lambda metric, time_ms: pytest.fail("the register was read"), at_end)
    assert register.find([METRIC], source, 0) is None


@pytest.mark.services
def test_a_loaded_source_is_found_alone_or_among_all(database_url: str) -> None:
    rows = [
        dict(zip(COLUMNS, (source, METRIC.name, "town-a", source, METRIC.classes[0], "2020-01-01", ""), strict=True))
        for source in ("here", "there")
    ]
    with connect(database_url) as connection:
        load_register(connection, city(), rows, at_end)
        among_all = stored_register(connection, at_end).find([METRIC], "here", END)
        assert among_all is not None
        assert stored_register(connection, at_end, "here").find([METRIC], "here", END) == among_all
        assert stored_register(connection, at_end, "there").find([METRIC], "here", END) is None
        assert stored_register(connection, at_end).find([METRIC], "nobody", END) is None
