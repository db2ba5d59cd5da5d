from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryLog
from ingest.batches import Message
from ingest.cities import City
from ingest.feed import Feed
from ingest.journal import NoJournal
from ingest.register_file import write_register
from ingest.simulated.bins import Bins
from ingest.simulated.faults import NO_FAULTS, ExpectedReadings, FaultRates, broken
from ingest.simulated.fleet import INTERVAL_MS, PEOPLE_PER_METER, Fleet
from ingest.simulated.premises import Premises
from ingest.simulated.rounds import Rounds
from ingest.simulated.simulator import Simulator, follow
from ingest.simulated.sources import SimulatedSources
from schemas.batch import DecodeError, decode
from schemas.topics import live
from tests import oracle
from tests.ingest.account import RecordingWriter, outcome, read
from tests.ingest.small_city import END, HOUR, QUARTER, changing, city, registered
from tests.soak import amount, examples, soak

MANY = FaultRates(repeated=0.1, broken=0.005, estimated=0.05, late=0.05, future=0.01, too_long=0.01, invalid=0.02)
TOPIC = live("city", "energy.readings")
METERS = amount(60, soak=400)
KINDS: Mapping[str, Callable[[City, int], SimulatedSources]] = {
    "energy.readings": lambda city, seed: Fleet(city, 60, seed),
    "waste.fill-levels": lambda city, seed: Bins(city, 80, seed),
    "waste.collections": lambda city, seed: Premises(city, 150, seed),
}
"""Simulated sources of every dataset, few enough to look at each reading by itself."""


def replayed(
    sources: SimulatedSources,
    rates: FaultRates,
    *,
    hours: int = 12,
    partitions: int = 5,
    end: int = END,
    clock: int = END,
    before: Rounds | None = None,
) -> tuple[RecordingWriter, ExpectedReadings]:
    writer, journal = RecordingWriter(partitions, clock), NoJournal()
    feed = Feed(writer, live(sources.city.id, sources.metrics[0].dataset), journal, "tests")
    if before is not None:
        before.send_last(feed, registered(before), end)
    simulator = Simulator(sources, feed, journal, registered(sources), lambda: clock, rates)
    expected = simulator.replay(end - hours * HOUR, end)
    assert journal.refused == expected.refused
    batches = [batch for sent in writer.sent if not isinstance(batch := oracle.read(sent.value), str)]
    assert {batch["feeder"] for batch in batches} == {feed.feeder}
    return writer, expected


@examples(8, soak=200)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    zone=st.sampled_from(["Asia/Tehran", "Asia/Ho_Chi_Minh", "Asia/Kathmandu"]),
    seed=st.integers(0, 10**6),
    partitions=st.sampled_from([1, 3, 16]),
    quarters=st.integers(1, 50),
    days=st.integers(0, 2),
    shift=st.integers(0, 95),
)
def test_the_expected_account_is_what_the_rules_give(
    kind: str, zone: str, seed: int, partitions: int, quarters: int, days: int, shift: int
) -> None:
    sources = KINDS[kind](city(zone), seed)
    end = END - shift * QUARTER
    start = end - quarters * QUARTER - days * 24 * HOUR * (kind == "waste.collections")

    def sent(rates: FaultRates) -> tuple[RecordingWriter, ExpectedReadings]:
        writer, journal = RecordingWriter(partitions, END + HOUR), NoJournal()
        feed = Feed(writer, live("city", kind), journal, "tests")
        simulator = Simulator(sources, feed, journal, registered(sources), lambda: END + HOUR, rates)
        return writer, simulator.replay(start, end)

    writer, expected = sent(MANY)
    found = outcome(writer.sent, zone)
    assert replace(expected, refused=0) == found.expected
    assert found.estimates_that_won == 0
    _, faultless = sent(NO_FAULTS)
    assert found.aggregated + found.open + expected.late == faultless.readings
    if kind == "energy.readings":
        assert faultless.readings == sum(1 for _ in sources.register()) * quarters


@soak
def test_a_day_of_a_small_city_has_every_fault_and_the_expected_account() -> None:
    fleet = Fleet(city(), METERS, 1)
    writer, expected = replayed(fleet, MANY, hours=26)
    found = outcome(writer.sent, "Asia/Tehran")
    assert replace(expected, refused=0) == found.expected
    assert min(expected.duplicate, expected.late, expected.rejected, expected.dead, expected.refused) > 0
    assert found.aggregated > METERS * 75
    batches = [batch for batch in map(read, (message.value for message in writer.sent)) if batch is not None]
    assert sum(row["quality"] == b"\x00" for batch in batches for row in batch["rows"]) > METERS * 2
    assert expected.refused in (26 * 4, 2 * 26 * 4)  # the one stray's intervals, with or without a solar plant


@pytest.mark.parametrize("kind", range(4))
def test_a_broken_message_is_dead_for_every_reader(kind: int) -> None:
    writer, _ = replayed(Fleet(city(), 50, 1), NO_FAULTS, hours=1)
    for sent in [sent for sent in writer.sent if sent.key is not None][:10]:
        assert read(sent.value) is not None
        spoiled = broken(Message(sent.key, sent.value, sent.readings), kind)
        assert (spoiled.key, spoiled.readings) == (sent.key, 0)
        assert read(spoiled.value) is None
        with pytest.raises(DecodeError):
            decode(spoiled.value)


def test_without_faults_every_reading_arrives_once_and_in_time() -> None:
    fleet = Fleet(city(), 100, 1, strays=0)
    writer, expected = replayed(fleet, NO_FAULTS)
    channels = sum(len(channels.ids) for channels in fleet.channels)
    assert expected == ExpectedReadings(messages=len(writer.sent), readings=channels * 12 * 4)
    assert outcome(writer.sent, "Asia/Tehran").expected == expected


def test_the_same_seed_city_and_start_give_the_same_bytes_and_another_seed_others() -> None:
    first, _ = replayed(Fleet(city(), 50, 1), MANY)
    again, _ = replayed(Fleet(city(), 50, 1), MANY)
    other, _ = replayed(Fleet(city(), 50, 2), MANY)
    assert first.sent == again.sent
    assert first.sent != other.sent


def test_an_interval_has_the_same_values_in_every_span() -> None:
    fleet = Fleet(city(), 50, 1)
    values = fleet.values(fleet.imports, END)
    fleet.values(fleet.imports, END + QUARTER)
    assert (fleet.values(fleet.imports, END) == values).all()
    assert (Fleet(city(), 50, 1).values(fleet.imports, END) == values).all()
    a_week_later = fleet.values(fleet.imports, END + 7 * 24 * HOUR) / values
    assert a_week_later.std() > 0.1  # each meter by itself, not all alike


def test_no_id_of_a_source_or_customer_is_in_any_message() -> None:
    fleet = Fleet(city(), 100, 1)
    writer, _ = replayed(fleet, MANY)
    everything = b"\n".join(message.value + (message.key or b"") for message in writer.sent)
    for row in fleet.register():
        assert row["source"].encode() not in everything
        assert row["contributor"].encode() not in everything
    assert b"SIM-" not in everything


def test_the_fleet_is_a_plausible_city(tmp_path: Path) -> None:
    fleet = Fleet(city(), 5000, 1, strays=3)
    write_register(tmp_path / "register.csv", fleet.register())
    rows = list(fleet.register())
    assert len((tmp_path / "register.csv").read_text(encoding="utf-8").splitlines()) == len(rows) + 1
    imports = [row for row in rows if row["metric"] == "energy.import"]
    solar = [row for row in rows if row["metric"] == "energy.solar"]
    assert len(imports) == 5000
    assert fleet.people == round(5000 * PEOPLE_PER_METER)
    assert 0.85 <= sum(row["class"] == "residential" for row in imports) / 5000 <= 0.90
    assert 0.08 <= len(solar) / 5000 <= 0.12
    owners = {row["contributor"]: row for row in imports}
    assert len(owners) == 5000
    for row in solar:
        assert (row["class"], row["district"]) == tuple(owners[row["contributor"]][k] for k in ("class", "district"))
    assert len({row["source"] for row in rows}) == len(rows)
    populations = {district.id: district.population for district in city().districts}
    for district, count in Counter(row["district"] for row in imports).items():
        assert count == pytest.approx(5000 * populations[district] / city().population, rel=0.25)


def test_values_are_whole_millijoules_and_only_solar_is_negative_at_night() -> None:
    fleet = Fleet(city(), 2000, 1)
    night = [fleet.values(channels, END - END % (24 * HOUR) + 20 * HOUR) for channels in fleet.channels]
    noon = [fleet.values(channels, END - END % (24 * HOUR) + 9 * HOUR) for channels in fleet.channels]
    for values in (*night, *noon):
        assert (values % INTERVAL_MS == 0).all()  # whole watts
    assert night[0].min() >= 0 and noon[0].min() >= 0
    assert set(np.unique(night[1] / INTERVAL_MS)) <= {-1.0, -2.0, -3.0, -4.0, -5.0}
    assert noon[1].min() > 0


def test_sources_that_are_not_registered_are_refused_and_never_sent() -> None:
    fleet = Fleet(city(), 50, 1, strays=0)
    hidden = frozenset(fleet.imports.ids[:2])
    writer, journal = RecordingWriter(4, END), NoJournal()
    feed = Feed(writer, TOPIC, journal, "tests")
    simulator = Simulator(fleet, feed, journal, registered(fleet, hidden=hidden), lambda: END)
    expected = simulator.replay(END - HOUR, END)
    assert expected.refused == journal.refused == 2 * 4
    assert expected.readings == (50 - 2 + len(fleet.plants.ids)) * 4


def test_a_change_of_the_register_within_a_step_takes_effect_at_its_time() -> None:
    fleet = Fleet(city(), 30, 1, strays=0)
    change = END - HOUR + 2 * QUARTER
    writer, journal = RecordingWriter(4, END), NoJournal()
    Simulator(fleet, Feed(writer, TOPIC, journal, "tests"), journal, changing(fleet, change), lambda: END).replay(
        END - HOUR, END
    )
    batches = [batch for batch in (decode(message.value) for message in writer.sent) if batch.count]
    for batch in batches:
        after_change = batch.start + batch.array()["after"] >= change
        assert (after_change == (batch.area % 1000 > 500)).all()


def test_every_partition_gets_the_last_tick() -> None:
    writer, _ = replayed(Fleet(city(), 10, 1), NO_FAULTS, hours=3, partitions=7)
    last = {message.partition: read(message.value) for message in writer.sent}
    assert sorted(last) == list(range(7))
    for batch in last.values():
        assert batch is not None and batch["rows"] == []
        assert batch["start"].timestamp() * 1000 == END


def test_after_the_replay_each_interval_is_sent_once_the_clock_has_passed_it() -> None:
    fleet = Fleet(city(), 10, 1, strays=0)
    clock, waits = [END], []

    class Stop(Event):
        """Time passes while the simulator waits; after five quarters it is stopped."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None and 0 < timeout <= 60
            waits.append(timeout)
            clock[0] += round(timeout * 1000)
            if clock[0] > END + 5 * QUARTER:
                self.set()
            return self.is_set()

    writer, journal = RecordingWriter(2, END), NoJournal()
    simulator = Simulator(
        fleet, Feed(writer, TOPIC, journal, "tests"), journal, registered(fleet), lambda: clock[0], MANY
    )
    log = MemoryLog(lambda: clock[0])
    log.create(TOPIC, 2, {})
    follow([simulator], Stop(), END, log)
    expected = simulator.expected
    assert expected.readings == 5 * sum(len(channels.ids) for channels in fleet.channels)
    starts = {batch.start for batch in (decode(message.value) for message in writer.sent) if batch.count}
    assert starts == {END + n * QUARTER for n in range(5)}
    assert writer.flushes == 5 + len(waits)  # before each wait, so that it is noticed if the database is away


@pytest.mark.parametrize(("start", "end"), [(END - HOUR + 1, END), (END, END), (END, END + QUARTER)])
def test_a_span_that_cannot_be_replayed_is_refused(start: int, end: int) -> None:
    fleet = Fleet(city(), 10, 1)
    journal = NoJournal()
    simulator = Simulator(
        fleet, Feed(RecordingWriter(1, END), TOPIC, journal, "tests"), journal, registered(fleet), lambda: END
    )
    with pytest.raises(ValueError, match=r"quarter|replay"):
        simulator.replay(start, end)


def test_a_rate_of_broken_messages_that_would_stop_a_partition_is_refused() -> None:
    with pytest.raises(ValueError, match="broken"):
        FaultRates(broken=0.02)
