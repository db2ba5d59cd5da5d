"""`sistercity doctor` and `sistercity topics` on a real node: well, half down, and with every part broken in turn."""

import json
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from schemas.catalogue import datasets
from schemas.topics import FRAMES, live
from schemas.topics import settings as topic_settings
from store.database import connect
from store.moments import milliseconds
from store.partner_facts import meet
from store.partner_heads import Contradiction, record_contradiction
from store.partner_standing import record_pull
from tests.store.test_partner_entries import agree
from tests.system.command import Command
from tests.system.streams import city_file

pytestmark = pytest.mark.services

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


def examined(command: Command) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and level and words of every finding by what it is about."""
    outcome = command.outcome("doctor", "--json")
    assert not outcome.stderr, outcome.stderr
    answer = json.loads(outcome.stdout)
    assert answer["ok"] == (outcome.code == 0)
    return outcome.code, {finding["what"]: (finding["level"], finding["words"]) for finding in answer["findings"]}


def load_register(command: Command, tmp_path) -> None:
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        "secret-meter,energy.import,a,secret-customer,residential,2006-01-01,\n"
    )
    command("register", "load", str(register))


def test_a_new_node_learns_step_by_step_what_to_do_next(command, kafka_log, city, tmp_path):
    topic = live(city, "energy.readings")
    code, found = examined(command)
    assert code == 1
    assert found["kafka"][0] == found["database"][0] == found["tables"][0] == "ok"
    assert found[topic] == ("fail", "is not there: `sistercity topics create` makes it")
    assert found["register"] == ("fail", "has no valid source: run `sistercity register load FILE`")

    load_register(command, tmp_path)
    found = examined(command)[1]
    assert found[topic] == ("fail", "is not there: `sistercity topics create` makes it")
    unused = ("ok", "is not there, and not used: no source in the register sends to it")
    assert found[live(city, FRAMES)] == found[live(city, "waste.collections")] == unused

    assert command("topics", "create").count(": made") == len(datasets()) + 1  # and that of pictures
    code, found = examined(command)
    assert code == 0, found
    assert found[topic] == ("ok", "4 partitions, settings as planned")
    assert found[live(city, FRAMES)][0] == "ok"
    assert found["register"][0] == "warn"  # the other metrics have no sources here
    assert found["register"][1].startswith("energy.import 1 in 1 area; no source of energy.solar, ")
    assert found[f"stream {topic}"] == ("ok", "nothing waits, and no `sistercity process` runs")
    assert found["kafka's copies"][0] == "warn"
    assert found["kafka's clock"][0] == found["database's clock"][0] == "ok"
    assert found["partners"] == ("ok", "none was ever pulled")

    writer = kafka_log.writer()
    writer.send(topic, b"1", b"garbage")
    writer.close()
    assert examined(command)[1][f"stream {topic}"] == (
        "warn",
        "1 messages wait, and no `sistercity process` runs",
    )
    command("process", "--until-caught-up")
    assert examined(command)[1][f"stream {topic}"][1].startswith("nothing waits")


def test_it_reads_as_lines_and_shows_no_source_and_no_password(command, tmp_path):
    command("topics", "create")
    load_register(command, tmp_path)
    said = command("doctor")
    assert said.splitlines()[1].split() == ["ok", "kafka", "1", "broker", "answers"]
    assert "secret" not in said
    command.environment["SISTERCITY_DATABASE_URL"] = f"postgresql://someone:secret-word@{NOWHERE}/city"
    outcome = command.outcome("doctor")
    assert outcome.code == 1
    assert "FAIL  database " in outcome.stdout
    assert "secret" not in outcome.stdout + outcome.stderr


def test_closed_windows_that_nobody_publishes_are_a_warning(command, kafka_log, city, tmp_path):
    load_register(command, tmp_path)
    command("ingest", "simulate", "--meters", "300")
    command("process", "--until-caught-up")
    level, words = examined(command)[1]["publications"]
    assert (level, "nothing was ever published" in words) == ("warn", True)
    command("publish", "--once")
    assert command("publish", "--once") == "nothing is due\n"
    assert examined(command)[1]["publications"] == ("ok", "every window has been published in its slot")


def test_what_is_up_is_reported_on_while_the_rest_is_down(command, tmp_path):
    command("topics", "create")
    up = dict(command.environment)
    command.environment["SISTERCITY_KAFKA"] = NOWHERE
    code, found = examined(command)
    assert code == 1
    assert found["kafka"][0] == "fail"
    assert "ECONNREFUSED" in found["kafka"][1]
    assert found["database"][0] == found["tables"][0] == "ok"

    command.environment |= {**up, "SISTERCITY_DATABASE_URL": f"postgresql://nobody@{NOWHERE}/none"}
    code, found = examined(command)
    assert code == 1
    assert found["database"][0] == "fail"
    assert found["kafka"][0] == "ok"

    command.environment |= {"SISTERCITY_KAFKA": NOWHERE, "SISTERCITY_CITY": str(tmp_path / "no-such-city.toml")}
    code, found = examined(command)
    assert code == 1
    assert [level for level, _ in found.values()].count("fail") == 3
    assert any(what.startswith("disk of ") for what in found)


def test_it_says_what_is_not_as_planned(command, kafka_log, city):
    stream, pictures = live(city, "energy.readings"), live(city, FRAMES)
    kafka_log.create(stream, 3, {"message.timestamp.type": "CreateTime"})
    kafka_log.create(pictures, 4, {**topic_settings(FRAMES), "retention.ms": "604800000"})
    said = command("topics", "create")
    assert f"{stream}: is there" in said  # and stays as it is
    assert kafka_log.describe(stream).partitions == 3
    code, found = examined(command)
    assert code == 1
    assert found[stream][0] == "fail"
    assert "message.timestamp.type is CreateTime, planned is LogAppendTime" in found[stream][1]
    assert "set SISTERCITY_PARTITIONS=3" in found[stream][1]
    assert found[pictures] == (
        "fail",
        "retention.ms is 604800000, planned is 300000: set it with kafka-configs.sh --alter",
    )


def test_tables_of_no_version_or_another_are_a_failure(command, server_url, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    code, found = examined(command)
    assert code == 1
    assert "which this program does not know" in found["tables"][1]
    assert "register" not in found
    command.environment["SISTERCITY_DATABASE_URL"] = make_conninfo(server_url, dbname="nothing_here")
    assert "does not exist; `sistercity migrate` makes the embedded one" in examined(command)[1]["database"][1]
    command.environment["SISTERCITY_DATABASE_URL"] = server_url
    assert examined(command)[1]["tables"] == ("fail", "there are none of ours: run `sistercity migrate`")


def test_it_changes_nothing_in_the_database(command, database_url):
    from store.inspection import read_only_connection  # noqa: PLC0415

    with read_only_connection(database_url, 5) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM partners")


def test_partners_are_told_by_how_they_stand_and_none_is_asked(command, database_url):
    now = milliseconds(datetime.now(UTC))
    with connect(database_url) as connection:
        for city in ("near", "away", "liar"):
            thumbprint = city.ljust(43, "x")
            agree(connection, city, thumbprint, city)
            meet(connection, thumbprint, city, city)
            reason = "unreachable" if city == "away" else None
            record_pull(connection, city, thumbprint, "", at=now, fresh_until=now + 3_600_000, reason=reason)
        told = Contradiction("liar".ljust(43, "x"), "", "two-stories", 2, "a", "b", b"", "x")
        record_contradiction(connection, told)
    _, found = examined(command)
    assert found["partner near"] == ("ok", "fresh")
    assert found["partner away"][0] == "warn" and "goes on when the partner is back" in found["partner away"][1]
    assert found["partner liar"][0] == "fail" and "sistercity partner show" in found["partner liar"][1]


def test_topics_create_needs_kafka_and_plan_does_not(command, city):
    command.environment["SISTERCITY_KAFKA"] = NOWHERE
    plan = json.loads(command("topics", "plan", "--json"))
    assert {topic["topic"] for topic in plan["topics"]} >= {live(city, FRAMES), live(city, "energy.readings")}
    assert "does not answer PLAINTEXT at 127.0.0.1:9" in command.fails("topics", "create")
