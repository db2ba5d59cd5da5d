from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.batches import LARGEST_BATCH, TOO_LONG_AFTER, ReadingColumns, messages, tick
from schemas.batch import decode
from schemas.catalogue import catalogue

IMPORT = catalogue()["energy.import"]
T0 = 1_764_000_000_000


def readings(rows: list[tuple[int, int, int, int]]) -> ReadingColumns:
    """(area, class, start, value) by row; the source is the row's place."""
    columns = np.array(rows, np.int64).reshape(-1, 4)
    return ReadingColumns(
        metric=IMPORT,
        interval=900_000,
        area=columns[:, 0].astype(np.int32),
        class_=columns[:, 1].astype(np.uint8),
        source=np.arange(len(rows), dtype=np.uint32),
        contributor=np.arange(len(rows), dtype=np.uint32) + 7,
        start=columns[:, 2],
        value=columns[:, 3].astype(np.float64),
        quality=np.arange(len(rows), dtype=np.uint8) % 2,
    )


STARTS = st.one_of(
    st.integers(0, 8).map(lambda n: T0 + 900_000 * n),
    st.integers(0, 2**45),  # up to the year 3084, so that few distances are whole float32
    st.integers(T0, T0 + 2**26),
)
ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), STARTS, st.integers(0, 10**12)), max_size=60)


@given(ROWS)
def test_messages_hold_exactly_the_readings(rows: list[tuple[int, int, int, int]]) -> None:
    seen = set()
    for message in messages(readings(rows), "meters"):
        batch = decode(message.value)
        assert batch.feeder == "meters"
        array = batch.array()
        assert batch.viewed
        assert (batch.metric, batch.interval, message.key) == (IMPORT.name, 900_000, str(batch.area).encode())
        assert 0 < len(array) == message.readings <= LARGEST_BATCH
        assert array["after"][0] == 0
        assert (np.diff(array["after"]) >= 0).all()
        for row in array.tolist():
            source, contributor, after, value, quality = row
            place = (batch.area, IMPORT.classes.index(batch.class_), batch.start + int(after), int(value))
            assert rows[source] == place
            assert (contributor, quality) == (source + 7, source % 2)
            seen.add(source)
    assert seen == set(range(len(rows)))


@given(st.integers(1, 1500))
def test_a_batch_is_as_full_as_it_may_be(count: int) -> None:
    sizes = [message.readings for message in messages(readings([(1, 0, T0, 5)] * count))]
    assert sizes == [LARGEST_BATCH] * (count // LARGEST_BATCH) + [count % LARGEST_BATCH] * (count % LARGEST_BATCH > 0)


def test_a_distance_that_float32_would_round_starts_a_new_batch() -> None:
    odd = 2**24 + 1
    sent = [decode(m.value) for m in messages(readings([(1, 0, T0, 1), (1, 0, T0 + odd, 2), (1, 0, T0 + odd + 2, 3)]))]
    assert [(batch.start, batch.count) for batch in sent] == [(T0, 1), (T0 + odd, 2)]


def test_a_row_so_late_in_a_batch_that_processors_reject_it_starts_a_new_batch() -> None:
    last = T0 + TOO_LONG_AFTER - 2**8
    rows = [(1, 0, T0, 1), (1, 0, last, 2), (1, 0, T0 + TOO_LONG_AFTER, 3)]
    sent = [decode(message.value) for message in messages(readings(rows))]
    assert [(batch.start, batch.count) for batch in sent] == [(T0, 2), (T0 + TOO_LONG_AFTER, 1)]


def test_rows_of_one_time_keep_their_order() -> None:
    (message,) = messages(readings([(1, 0, T0 + 900_000, 1), (1, 0, T0, 2), (1, 0, T0, 3)]))
    assert decode(message.value).array()["source"].tolist() == [1, 2, 0]
    mixed = [(1 + n % 3, 0, T0, n) for n in range(600)]
    for sent in messages(readings(mixed)):
        assert (np.diff(decode(sent.value).array()["source"].astype(int)) == 3).all()


def test_areas_and_times_far_apart_are_sorted() -> None:
    wide = replace(
        readings([(1, 0, 2**45, 1), (2**31 - 1, 1, 5, 2), (1, 0, 3, 3)]), area=np.array([1, 2**31 - 1, 1], np.int32)
    )
    assert [decode(m.value).start for m in messages(wide)] == [3, 2**45, 5]


def test_a_tick_is_a_batch_without_rows() -> None:
    batch = decode(tick("energy.readings", T0, "meters"))
    assert (batch.start, batch.count, batch.feeder) == (T0, 0, "meters")
