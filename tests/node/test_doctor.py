"""The doctor's judgements: what each thing that can be wrong is called, and what it advises."""

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventlog.inspection import ClusterState, TopicState
from eventlog.protocol import TopicFacts
from ingest.area_report import AreaReport, ClassCount, VersionReport
from node.doctor.areas import judge_areas
from node.doctor.database import Contents, DatabaseState, judge_database
from node.doctor.finding import Examination, Finding, judge_clock
from node.doctor.kafka import judge_cluster
from node.doctor.machine import examine_disks, judge_disk
from node.doctor.sources import ListedSource, judge_sources
from node.doctor.streams import judge_streams
from node.topic_plan import planned_topics
from store.dead_letters import WaitingLetters
from store.inspection import ProcessedTopic, RegisteredSources

NOW = 1_790_000_000_000
PLAN = planned_topics("town", 2)
FRAMES, READINGS = "town.traffic.frames.v1", "town.energy.readings.v1"
SETTINGS = {planned.topic: {**planned.settings, "cleanup.policy": "delete"} for planned in PLAN}


def topic(name: str, **changed: Any) -> TopicState:
    state = TopicState(TopicFacts("cluster", name, 2), 3, SETTINGS[name], [0, 0], [10, 20], NOW)
    return replace(state, **changed)


def cluster(**changed: Any) -> ClusterState:
    topics = {planned.topic: topic(planned.topic) for planned in PLAN}
    state = ClusterState(3, topics, {"town.process": 2, "town.detect": 1}, NOW, NOW - 1, NOW + 1)
    return replace(state, **changed)


def with_topic(state: TopicState | str | None, name: str = READINGS) -> ClusterState:
    topics = dict(cluster().topics)
    topics.pop(name)
    return cluster(topics=topics if state is None else {**topics, name: state})


def only_trouble(findings) -> Finding:
    [found] = [finding for finding in findings if finding.level != "ok"]
    return found


def test_a_cluster_as_planned_is_ok():
    findings = list(judge_cluster(cluster(), PLAN))
    assert {finding.level for finding in findings} == {"ok"}
    assert [finding.what for finding in findings] == ["kafka", *(planned.topic for planned in PLAN), "kafka's clock"]


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        (None, "fail", "`sistercity topics create`"),
        ("TopicAuthorizationFailedError", "warn", "does not tell: TopicAuthorizationFailedError"),
        (topic(READINGS, settings={}), "warn", "DescribeConfigs"),
        (topic(READINGS, facts=TopicFacts("cluster", "x", 8)), "warn", "SISTERCITY_PARTITIONS=8"),
        (
            topic(READINGS, settings=SETTINGS[READINGS] | {"message.timestamp.type": "CreateTime"}),
            "fail",
            "planned is LogAppendTime",
        ),
        (topic(READINGS, settings=SETTINGS[READINGS] | {"cleanup.policy": "compact"}), "fail", "planned is delete"),
        (topic(READINGS, settings=SETTINGS[READINGS] | {"retention.ms": "1000"}), "warn", "can't be corrected"),
        (topic(READINGS, replicas=1), "warn", "1 topics are on one broker"),
        (
            topic(READINGS, in_sync=[3, 2]),
            "warn",
            f"1 partitions lack a copy: a broker is gone, or lags. Bring it back: {READINGS}",
        ),
        (
            topic(READINGS, in_sync=[1, 1], settings=SETTINGS[READINGS] | {"min.insync.replicas": "2"}),
            "fail",
            "2 of them take no message until then",
        ),
    ],
)
def test_a_topic_that_is_not_as_planned_is_reported_with_what_to_do(state, level, words):
    found = only_trouble(judge_cluster(with_topic(state), PLAN))
    assert found.level == level
    assert words in found.words


@pytest.mark.parametrize(
    ("setting", "level"),
    [
        ({"retention.ms": "604800000"}, "fail"),
        ({"retention.ms": "-1"}, "fail"),
        ({"segment.ms": "604800000"}, "fail"),
        ({"retention.ms": "120000"}, "warn"),
        ({"max.message.bytes": "1048588"}, "fail"),
        ({"max.message.bytes": "8388608"}, "ok"),
    ],
)
def test_pictures_that_would_stay_or_would_not_fit_are_a_failure(setting, level):
    state = with_topic(topic(FRAMES, settings=SETTINGS[FRAMES] | setting), FRAMES)
    [found] = [finding for finding in judge_cluster(state, PLAN) if finding.what == FRAMES]
    assert found.level == level


@pytest.mark.parametrize(
    ("clock", "level", "words"),
    [
        (NOW + 5_000, "ok", "within 5 s"),
        (NOW - 5_000, "ok", "within 5 s"),
        (NOW + 6_500, "warn", "6 s ahead of"),
        (NOW - 6_500, "warn", "6 s behind"),
        (NOW + 61_500, "fail", "61 s ahead of"),
        (NOW - 61_500, "fail", "61 s behind"),
    ],
)
def test_a_clock_may_be_off_by_five_seconds_and_must_not_by_sixty(clock, level, words):
    found = judge_clock("a clock", "it", clock, NOW - 400, NOW + 400)
    assert (found.level, words in found.words) == (level, True)


def test_a_slow_answer_is_not_mistaken_for_a_wrong_clock():
    assert judge_clock("a clock", "it", NOW, NOW - 30_000, NOW + 30_000).level == "ok"


def test_without_the_controllers_clock_a_message_from_the_future_shows_a_brokers_clock():
    silent = cluster(clock_ms=None)
    assert [finding.level for finding in judge_cluster(silent, PLAN)][-1] == "ok"
    ahead = {READINGS: topic(READINGS, newest_ms=NOW + 90_000)}
    found = only_trouble(judge_cluster(replace(silent, topics={**silent.topics, **ahead}), PLAN))
    assert (found.level, found.what) == ("fail", "kafka's clock")


CONTENTS = Contents(
    {"energy.import": RegisteredSources(100, 3), "waste.fill": RegisteredSources(5, 1)},
    {},
    {"energy.import": 0},
    [],
    [],
    {},
    WaitingLetters(3, NOW - 3_600_000),
)
DATABASE = DatabaseState("2", "2", frozenset({"1", "2"}), NOW, NOW, NOW, CONTENTS)
METRICS = ["energy.import", "waste.fill"]


def test_a_database_with_newest_tables_and_a_register_is_ok():
    assert {finding.level for finding in judge_database(DATABASE, METRICS)} == {"ok"}


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({"version": None, "contents": None}, "fail", "none of ours: run `sistercity migrate`"),
        ({"version": "1", "contents": None}, "fail", "at version 1, not 2: run `sistercity migrate`"),
        ({"version": "3", "contents": None}, "fail", "which this program does not know"),
        ({"clock_ms": NOW + 100_000}, "fail", "ahead of this machine's clock"),
        ({"contents": replace(CONTENTS, registered={})}, "fail", "`sistercity register load FILE`"),
        (
            {"contents": replace(CONTENTS, registered={**CONTENTS.registered, "waste.fill": RegisteredSources(5, 0)})},
            "fail",
            "no areas are drawn for waste.fill",
        ),
        (
            {"contents": replace(CONTENTS, registered={"waste.fill": RegisteredSources(5, 1)})},
            "warn",
            "no source of energy.import",
        ),
        (
            {"contents": replace(CONTENTS, overdue={"energy.import": 7, "waste.fill": 0})},
            "warn",
            "7 of energy.import; does `sistercity publish`",
        ),
        ({"contents": replace(CONTENTS, ledger_fault="there is no ledger")}, "fail", "there is no ledger"),
        ({"contents": replace(CONTENTS, overdue={})}, "warn", "nothing was ever published"),
        ({"contents": replace(CONTENTS, unusual=6)}, "warn", "6 contributors are spelled"),
        (
            {"contents": replace(CONTENTS, unrelayed=WaitingLetters(3, NOW - 25 * 3_600_000))},
            "warn",
            "3 wait for the relay, some for 25 hours",
        ),
    ],
)
def test_a_fault_of_the_database_is_reported_with_what_to_do(changed, level, words):
    found = only_trouble(judge_database(replace(DATABASE, **changed), METRICS))
    assert found.level == level
    assert words in found.words


def processed(name: str, **changed: Any) -> dict[str, ProcessedTopic]:
    state = ProcessedTopic("cluster", name, 2, {0: 10, 1: 20}, {0: 10, 1: 20}, {})
    return {name: replace(state, **changed)}


def judged(name: str, state: ClusterState, known: dict[str, ProcessedTopic]) -> Finding:
    [found] = [finding for finding in judge_streams(state, known, "town") if finding.what == f"stream {name}"]
    return found


def test_a_stream_that_is_read_to_its_end_is_ok():
    found = judged(READINGS, cluster(), processed(READINGS))
    assert (found.level, found.words) == ("ok", "nothing waits, 2 at work")


def test_stopped_partitions_are_a_failure_with_their_reasons():
    found = judged(READINGS, cluster(), processed(READINGS, stopped={1: "this and that"}))
    assert (found.level, found.words) == ("fail", "partition 1 is stopped: this and that")


def test_waiting_messages_are_counted_and_a_group_without_members_is_a_warning():
    behind = processed(READINGS, next_offsets={0: 4}, resume_offsets={0: 4})
    found = judged(READINGS, cluster(), behind)
    assert (found.level, found.words) == ("ok", "26 messages wait, 2 at work")
    found = judged(READINGS, cluster(members={"town.process": 0, "town.detect": 1}), behind)
    assert (found.level, found.words) == ("warn", "26 messages wait, and no `sistercity process` runs")
    found = judged(FRAMES, cluster(members={"town.process": 2, "town.detect": 0}), {})
    assert (found.level, found.words) == ("warn", "30 messages wait, and no `sistercity detect` runs")


def test_messages_that_near_the_end_of_their_retention_are_a_failure_before_they_are_lost():
    state, behind = with_topic(topic(READINGS, young=[6, 0])), processed(READINGS, next_offsets={0: 4, 1: 20})
    found = judged(READINGS, state, behind)
    assert (found.level, "2 messages that wait have used up more than 50% of their retention" in found.words) == (
        "fail",
        True,
    )
    assert judged(READINGS, state, processed(READINGS, next_offsets={0: 6, 1: 20})).level == "ok"


@pytest.mark.parametrize(
    ("known", "level", "words"),
    [
        ({"topic_id": "another"}, "fail", "is another topic"),
        ({"cluster_id": "another"}, "fail", "is another topic"),
        ({"partitions": 4}, "fail", "is another topic"),
        ({"next_offsets": {0: 11, 1: 20}}, "fail", "in 1 partitions Kafka has lost messages"),
        ({"next_offsets": {0: 3, 1: 20}, "resume_offsets": {0: 3, 1: 20}}, "fail", "retention took 2 messages before"),
        ({"resume_offsets": {0: 3, 1: 20}}, "warn", "retention took 2 messages of windows that are still open"),
    ],
)
def test_a_stream_that_cannot_go_on_is_reported_with_the_reason(known, level, words):
    state = with_topic(topic(READINGS, begins=[5, 0]))
    found = judged(READINGS, state, processed(READINGS, **known))
    assert found.level == level
    assert words in found.words


def test_expired_pictures_are_counted_and_are_no_failure():
    state = with_topic(topic(FRAMES, begins=[5, 0]), FRAMES)
    found = judged(FRAMES, state, processed(FRAMES, next_offsets={0: 3, 1: 20}, resume_offsets={0: 3, 1: 20}))
    assert (found.level, found.words) == ("ok", "5 messages wait, 2 were gone before they were processed, 1 at work")


@pytest.mark.parametrize(("free", "level"), [(50, "ok"), (10, "ok"), (9, "warn"), (2, "warn"), (1, "fail")])
def test_a_filling_disk_is_a_warning_and_then_a_failure(free, level):
    assert judge_disk(Path("home"), free * 2**30, 100 * 2**30).level == level


def test_a_missing_folder_is_judged_by_its_parent_and_each_disk_is_named_once(tmp_path):
    [found] = examine_disks([tmp_path / "not" / "there", tmp_path])
    assert found.what == f"disk of {tmp_path / 'not' / 'there'}"


def test_an_examination_that_does_not_end_is_a_failure_after_its_time_limit():
    never = threading.Event()
    try:
        assert Examination("kafka", 0.05, never.wait).result() == (
            None,
            Finding("fail", "kafka", "no answer within 0 s"),
        )
    finally:
        never.set()


def test_an_examination_that_raises_is_a_finding_in_one_line():
    def broken() -> None:
        raise RuntimeError("two\n\tlines")

    assert Examination("kafka", 5, broken).result() == (None, Finding("fail", "kafka", "two lines"))

    def small_install() -> None:
        raise ModuleNotFoundError("no", name="kafka")

    _, found = Examination("kafka", 5, small_install).result()
    assert found is not None
    assert (found.level, "extra [node]" in found.words) == ("warn", True)


def areas(*counts: tuple[int, int]) -> VersionReport:
    """Areas with so many residential and commercial customers each."""
    classes = [[ClassCount("residential", r, 100), ClassCount("commercial", c, 15)] for r, c in counts]
    return VersionReport(NOW, [AreaReport(number, f"Area {number}", 1, of) for number, of in enumerate(classes)])


@pytest.mark.parametrize(
    ("counts", "level", "words"),
    [
        ([(300, 45), (300, 45)], "ok", "each of 2 has the contributors"),
        ([(300, 0), (300, 0)], "ok", "each of 2 has the contributors"),
        ([(300, 3), (300, 4)], "ok", "nothing can be shown of commercial"),
        ([(300, 45), (99, 45)], "warn", "residential below 100 in 1 of 2: Area 1 (99)"),
        ([(300, 45)] + 5 * [(9, 45)], "warn", "Area 1 (9), Area 2 (9), Area 3 (9) and 2 more"),
    ],
)
def test_areas_that_can_no_longer_pass_are_named(counts, level, words):
    [found] = judge_areas({"energy.import": areas(*counts)})
    assert (found.level, found.what) == (level, "areas of energy.import")
    assert words in found.words


LISTED = ListedSource("head-end", Path("/drop"), True, True, None, 100 * 3_600_000, 48 * 3_600_000, True)


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({}, "ok", "last delivery 40 hours ago"),
        ({"last_ms": None}, "ok", "nothing yet"),
        ({"last_ms": None, "path": None, "is_recorded": False}, "ok", "only `ingest run` knows"),
        ({"path": None, "fault": "there is no topic meters"}, "fail", "there is no topic meters"),
        ({"last_ms": None, "path": None, "answers": "it answers with 9 bytes"}, "ok", "nothing yet; it answers with 9"),
        ({"path": None, "answers": "it answers with 9 bytes"}, "ok", "40 hours ago; it answers with 9 bytes"),
        ({"path": None, "fault": "it answers with status 401"}, "fail", "it answers with status 401"),
        ({"last_ms": 90 * 3_600_000}, "warn", r"silent for 50 hours \(silent_h = 48\)"),
        ({"last_ms": 0, "silent_ms": 0}, "ok", "140 hours ago"),
        ({"may_write": False}, "fail", "may not write in /drop"),
        ({"may_read": False}, "fail", "may not read in /drop"),
        ({"unknown_id": "roof-1 (for energy.solar)"}, "fail", "register does not have it"),
    ],
)
def test_each_listed_source_is_named_with_what_is_wrong_with_it(changed, level, words):
    [finding] = judge_sources([replace(LISTED, **changed)], 140 * 3_600_000)
    assert (finding.level, finding.what) == (level, "source head-end")
    assert re.search(words, finding.words)
