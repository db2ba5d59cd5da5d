"""Simulated containers, premises and collection rounds: what they are, what they read, and what becomes of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from ingest.areas import drawn_for, partition
from ingest.cities import load_city
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.simulated.bins import REPORT_MS, Bins
from ingest.simulated.faults import NO_FAULTS, OFTEN, FaultRates
from ingest.simulated.moment_streams import MomentReadings
from ingest.simulated.premises import PEOPLE_PER_PREMISES, Premises
from ingest.simulated.rounds import Rounds
from ingest.simulated.simulator import STEP_MS, Simulator, follow
from ingest.simulated.sources import SimulatedSources
from ingest.simulated.spans import last_day, last_hours
from schemas.batch import decode
from schemas.catalogue import Metric, catalogue
from schemas.topics import live
from tests.ingest.account import RecordingWriter, outcome, read
from tests.ingest.simulated.test_simulator import MANY, replayed
from tests.ingest.small_city import END, HOUR, QUARTER, changing, city, registered
from tests.soak import examples

DAY = 24 * HOUR
MINUTE = 60_000
TEHRAN = ZoneInfo("Asia/Tehran")
KINDS = ("bins", "premises")


def made(kind: str, seed: int = 1, count: int = 60, strays: int = 1) -> Bins | Premises:
    return Bins(city(), count, seed, strays) if kind == "bins" else Premises(city(), count, seed, strays)


def found(sources: Bins | Premises, start: int, end: int) -> MomentReadings:
    return sources.levels(start, end) if isinstance(sources, Bins) else sources.weighings(start, end)


def listed(happened: MomentReadings) -> list[tuple[int, int, float]]:
    return list(zip(happened.start.tolist(), happened.place.tolist(), happened.value.tolist(), strict=True))


@given(kind=st.sampled_from(KINDS), cuts=st.lists(st.integers(0, 3 * 24 * 60), max_size=5), seed=st.integers(0, 99))
@examples(10, soak=150)
def test_a_span_reads_the_same_whole_or_in_parts(kind: str, cuts: list[int], seed: int) -> None:
    sources = made(kind, seed)
    edges = sorted({END - 3 * DAY, END, *(END - cut * MINUTE for cut in cuts)})
    whole = listed(found(sources, edges[0], edges[-1]))
    parts = [listed(found(made(kind, seed), *span)) for span in pairwise(edges)]
    assert sorted(whole) == sorted(reading for part in parts for reading in part)
    times = [start for start, *_ in whole]
    assert times == sorted(times) and edges[0] <= times[0] and times[-1] < edges[-1]
    assert all(start % MINUTE == 0 for start in times)
    assert len({(start, place) for start, place, _ in whole}) == len(whole) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_or_size_is_another_city(kind: str) -> None:
    ids = [set(made(kind, seed, count).ids) for seed, count in ((1, 60), (2, 60), (1, 61))]
    assert len(set.union(*ids)) == sum(map(len, ids))
    with pytest.raises(ValueError, match="at least one"):
        made(kind, count=0)


def test_every_sensor_reports_each_half_hour_and_its_container_fills_up_until_it_is_emptied() -> None:
    bins = Bins(city(), 200, 1, 0)
    happened = bins.levels(END - 7 * DAY, END)
    assert (happened.value == np.rint(happened.value)).all()
    assert 0 <= happened.value.min() < 100 and 9_000 < happened.value.max() <= 10_000
    assert 2_500 < happened.value.mean() < 5_000
    drops = Counter[int]()
    for place in range(200):
        mine = happened.place == place
        assert (np.diff(happened.start[mine]) == REPORT_MS).all()
        levels = happened.value[mine]
        falls = np.flatnonzero(np.diff(levels) < -600)
        assert (levels[falls + 1] < 1_500).all()  # it is nearly empty after a collection
        assert np.delete(np.diff(levels), falls).mean() > 0
        drops[len(falls)] += 1
        for fall in happened.start[mine][falls].tolist():
            assert 2.5 <= datetime.fromtimestamp(fall / 1000, TEHRAN).hour + 0.5 <= 10.5
    assert {1, 7} <= drops.keys() and max(drops) <= 8


def test_a_container_is_a_contributor_of_one_class() -> None:
    bins = made("bins", count=300, strays=2)
    rows = list(bins.register())
    assert len({row["source"] for row in rows}) == len(rows) == 300
    assert all(row["source"] == row["contributor"] for row in rows)
    assert {row["metric"] for row in rows} == {"waste.fill"}
    assert all(98 <= count <= 102 for count in Counter(row["class"] for row in rows).values())


def test_a_premises_separates_its_waste_and_is_collected_in_the_early_morning() -> None:
    premises = Premises(city(), 3_000, 1, strays=4)
    rows = {row["source"]: row for row in premises.register()}
    of_class = Counter(row["class"] for row in rows.values())
    assert of_class["residual"] == of_class["recycling"] == 3_000
    assert of_class["organic"] == pytest.approx(900, rel=0.1)
    assert len({row["contributor"] for row in rows.values()}) == 3_000
    days = 12
    local_end = (END + 3 * HOUR + HOUR // 2) // DAY * DAY - 3 * HOUR - HOUR // 2
    happened = premises.weighings(local_end - days * DAY, local_end)
    hours = [datetime.fromtimestamp(start / 1000, TEHRAN).hour for start in happened.start.tolist()]
    assert set(hours) == {3, 4, 5, 6, 7}
    grams: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for _, place, value in listed(happened):
        if row := rows.get(premises.ids[place]):
            grams[row["class"]] += round(value)
            times[row["class"]] += 1
    assert all(value == round(value) > 0 for value in happened.value.tolist())
    assert premises.people == round(3_000 * PEOPLE_PER_PREMISES)
    daily = {class_: total / 1000 / days / premises.people for class_, total in grams.items()}
    assert 0.7 < sum(daily.values()) < 0.9  # kilograms a person and day
    assert daily["residual"] > daily["organic"] > daily["recycling"] > 0.1
    assert times["residual"] == pytest.approx(0.98 * 3_000 * days / 2, rel=0.03)
    assert times["recycling"] == pytest.approx(0.98 * 3_000 * days / 3, rel=0.03)


@pytest.mark.parametrize("name", ["isfahan", "ho-chi-minh-city"])
def test_a_shipped_city_has_several_areas_and_few_cells_that_must_be_suppressed(name: str) -> None:
    place = load_city(name)
    bins, premises = Bins(place, 1_200, 1), Premises(place, 6_000, 1)
    rounds = Rounds(place, premises.people, 1)
    for sources, metric, least in (
        (bins, "waste.fill", 10),
        (premises, "waste.collected", 15),
        (rounds, "waste.tonnage", 2),
    ):
        cells, _ = _areas_of(sources, catalogue()[metric])
        assert len(cells) >= 3 * least
        assert min(cells.values()) >= 14
    cells, place_of = _areas_of(premises, catalogue()["waste.collected"])
    clock = ZoneInfo(place.zone)
    for day in range(1, 8):
        start, end = (round(datetime(2025, 11, number, tzinfo=clock).timestamp() * 1000) for number in (day, day + 1))
        weighed: dict[tuple[int, str], set[str]] = defaultdict(set)
        for index in premises.weighings(start, end).place.tolist():
            if known := place_of.get(premises.ids[index]):
                weighed[known[:2]].add(known[2])
        assert sum(len(those) >= 11 for those in weighed.values()) > 0.9 * len(cells)


def _areas_of(
    sources: SimulatedSources | Rounds, metric: Metric
) -> tuple[Counter[tuple[int, str]], dict[str, tuple[int, str, str]]]:
    """Sources by area and class, and the area, class and contributor of each."""
    rows = list(sources.register())
    by_district = Counter((row["district"], row["class"]) for row in rows)
    areas = partition(sources.city, by_district, drawn_for(metric))
    number = {district: index for index, area in enumerate(areas) for district in area.districts}
    of = {row["source"]: (number[row["district"]], row["class"], row["contributor"]) for row in rows}
    return Counter((area, class_) for area, class_, _ in of.values()), of


@pytest.mark.parametrize("kind", KINDS)
def test_no_id_is_in_any_message_and_strays_are_refused(kind: str) -> None:
    sources = made(kind, count=100, strays=3)
    writer, expected = replayed(sources, MANY, hours=60)
    everything = b"\n".join(message.value + (message.key or b"") for message in writer.sent)
    assert b"SIM-" not in everything
    known = {row["source"] for row in sources.register()}
    happened = found(sources, END - 60 * HOUR, END)
    assert expected.refused == sum(sources.ids[place] not in known for place in happened.place.tolist()) > 0
    assert not any(row["contributor"].encode() in everything for row in sources.register())


@pytest.mark.parametrize(("kind", "count", "hours"), [("bins", 200, 26), ("premises", 400, 55)])
def test_a_replay_has_every_fault_and_the_expected_account(kind: str, count: int, hours: int) -> None:
    sources = made(kind, count=count)
    writer, expected = replayed(sources, MANY, hours=hours)
    account = outcome(writer.sent, "Asia/Tehran")
    assert replace(expected, refused=0) == account.expected
    assert min(expected.duplicate, expected.late, expected.rejected, expected.dead, expected.refused) > 0
    assert account.aggregated > 300
    intervals = {batch["interval"] for batch in map(read, (message.value for message in writer.sent)) if batch}
    assert intervals == {0, 2 * catalogue()[sources.metrics[0].name].longest_window_ms}  # the longer are rejected


@pytest.mark.parametrize("kind", KINDS)
def test_however_few_messages_there_are_one_is_broken(kind: str) -> None:
    _, expected = replayed(made(kind, count=3), replace(NO_FAULTS, broken=0.0001), hours=50)
    assert expected.dead == 1
    _, expected = replayed(made(kind, count=3), NO_FAULTS, hours=50)
    assert expected.dead == 0


def test_the_default_sizes_have_every_fault() -> None:
    premises = Premises(load_city("isfahan"), 6_000, 1)
    now = END + 8 * HOUR
    start, end = last_day(now, "Asia/Tehran", 6 * HOUR)
    _, expected = replayed(premises, OFTEN, hours=(end - start) // HOUR, end=end, clock=now)
    assert min(expected.duplicate, expected.late, expected.rejected, expected.dead, expected.refused) >= 1


def test_a_change_of_the_register_takes_effect_between_moments() -> None:
    bins = made("bins", strays=0)
    change = END - HOUR + 7 * MINUTE + 3_000
    writer, journal = RecordingWriter(4, END), NoJournal()
    feed = Feed(writer, live("city", "waste.fill-levels"), journal, "tests")
    expected = Simulator(bins, feed, journal, changing(bins, change), lambda: END).replay(END - HOUR, END)
    assert expected.readings == 2 * 60
    batches = [batch for batch in (decode(message.value) for message in writer.sent) if batch.count]
    for batch in batches:
        after_change = batch.start + batch.array()["after"] >= change
        assert (after_change == (batch.area % 1000 > 500)).all()


def test_several_simulators_follow_the_clock_together() -> None:
    clock = [END]
    steps = []

    class Stop:
        """Time passes while all wait; after an hour and a half they are stopped."""

        def is_set(self) -> bool:
            return clock[0] >= END + 6 * QUARTER

        def wait(self, timeout: float) -> None:
            assert 0 < timeout <= 60
            steps.append(timeout)
            clock[0] += round(timeout * 1000)
            for writer in writers:
                writer.clock = clock[0]

    writers: list[RecordingWriter] = []
    journal, simulators, log = NoJournal(), [], MemoryLog(lambda: clock[0])
    for sources in (made("bins", strays=0), made("premises", strays=0)):
        writers.append(RecordingWriter(2, END))
        feed = Feed(writers[-1], live("city", sources.metrics[0].dataset), journal, "tests")
        log.create(feed.topic, 2, {})
        simulators.append(Simulator(sources, feed, journal, registered(sources), lambda: clock[0], MANY))
    follow(simulators, Stop(), END, log)  # type: ignore[arg-type]
    assert len(steps) == 6 * 15
    passed = Bins(city(), 60, 1, 0).levels(END, END + 5 * QUARTER)
    assert simulators[0].expected.readings == len(passed.place) > 2 * 60
    for writer in writers:
        last = [read(message.value) for message in writer.sent[-2:]]
        assert [batch and batch["start"].timestamp() * 1000 for batch in last] == [END + 5 * QUARTER] * 2
        assert outcome(writer.sent, "Asia/Tehran").expected.rejected == 0


MONTHS = [
    (datetime(2025, 11, 24, 16, tzinfo=UTC), [date(2025, 9, 1), date(2025, 10, 1)]),
    (datetime(2026, 1, 1, tzinfo=UTC), [date(2025, 11, 1), date(2025, 12, 1)]),
    (datetime(2026, 2, 28, 21, tzinfo=UTC), [date(2026, 1, 1), date(2026, 2, 1)]),  # already March on Tehran's clock
]


@pytest.mark.parametrize(("now", "months"), MONTHS)
def test_rounds_state_the_last_two_whole_months(now: datetime, months: Sequence[date]) -> None:
    rounds = Rounds(city(), people=1_000, seed=1, per_class=50)
    clock = round(now.timestamp() * 1000)
    writer, journal = RecordingWriter(3, clock), NoJournal()
    feed = Feed(writer, live("city", "waste.collections"), journal, "tests")
    rounds.send_last(feed, registered(rounds), clock)
    grams: dict[tuple[date, str], float] = defaultdict(float)
    order = []
    for message in writer.sent:
        batch = read(message.value)
        assert batch is not None and batch["metric"] == "waste.tonnage"
        begins = batch["start"].astimezone(TEHRAN)
        assert (begins.day, begins.hour, begins.minute) == (1, 0, 0)
        ends = (batch["start"] + timedelta(milliseconds=batch["interval"])).astimezone(TEHRAN)
        assert (ends.month, ends.day, ends.hour) == (begins.month % 12 + 1, 1, 0)
        order.append(begins.date())
        grams[begins.date(), batch["class"]] += sum(row["value"] for row in batch["rows"])
    assert order == sorted(order) and sorted(set(order)) == list(months)
    assert feed.readings == 2 * 3 * 50
    for month in months:
        days = ((month + timedelta(days=32)).replace(day=1) - month).days
        total = sum(value for (of, _), value in grams.items() if of == month)
        assert 0.7 < total / 1000 / 1_000 / days < 0.9  # kilograms a person and day
    account = outcome(writer.sent, "Asia/Tehran")
    assert (account.expected.late, account.expected.rejected) == (0, 0)


def test_statements_before_a_replay_are_in_time_and_do_not_affect_it() -> None:
    rounds = Rounds(city(), people=1_000, seed=1, per_class=50)
    writer, expected = replayed(made("premises", count=300), MANY, hours=55, before=rounds)
    account = outcome(writer.sent, "Asia/Tehran")
    assert replace(expected, refused=0) == account.expected
    _, without = replayed(made("premises", count=300), MANY, hours=55)
    assert expected.readings == without.readings + 300
    assert replace(expected, messages=0, readings=0) == replace(without, messages=0, readings=0)


def test_rounds_that_are_not_registered_make_no_statement() -> None:
    rounds = Rounds(city(), people=1_000, seed=1, per_class=50)
    register = registered(rounds, hidden=frozenset(rounds.ids[:10]))
    assert len(rounds.statements(date(2025, 10, 1), register.at(catalogue()["waste.tonnage"], END))) == 140


@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(["Asia/Tehran", "Asia/Ho_Chi_Minh", "Asia/Kathmandu", "Europe/Paris", "America/Sao_Paulo"]),
)
def test_the_shortest_span_that_closes_a_day_closes_it_and_leaves_a_step(when: datetime, zone: str) -> None:
    clock, now = ZoneInfo(zone), round(when.replace(tzinfo=UTC).timestamp() * 1000)
    lateness = catalogue()["waste.collected"].lateness_ms
    start, end = last_day(now, zone, lateness)
    begins, finishes = (datetime.fromtimestamp(ms / 1000, clock) for ms in (start, end))
    assert 0 <= now - end < QUARTER and finishes.minute % 15 == 0
    before = datetime.fromtimestamp((start - 1) / 1000, clock)
    assert begins.date() - before.date() == timedelta(days=1)  # the first moment of a local day
    following = [
        next(hour for hour in range(start, start + 80 * HOUR, QUARTER) if _date(hour, clock) == begins.date() + day)
        for day in (timedelta(days=1), timedelta(days=2))
    ]
    assert following[0] + lateness + STEP_MS <= end
    assert following[1] + lateness + STEP_MS > end
    hours = last_hours(now, zone, 3_600_000)
    assert hours[1] == end and 24 * HOUR <= hours[1] - hours[0] - HOUR < 26 * HOUR


def _date(at_ms: int, clock: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_ms / 1000, clock).date()


def test_without_faults_every_reading_is_sent_once() -> None:
    for kind in KINDS:
        sources = made(kind, strays=0)
        writer, expected = replayed(sources, NO_FAULTS, hours=50)
        assert expected.readings == len(found(sources, END - 50 * HOUR, END).place)
        assert outcome(writer.sent, "Asia/Tehran").expected == expected
        assert expected == replace(expected, duplicate=0, late=0, rejected=0, dead=0, refused=0)
    assert FaultRates(0, 0, 0, 0, 0, 0, 0) == NO_FAULTS
