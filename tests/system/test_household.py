"""A real household's file through Kafka: exact in the operator's view, and nothing of it for anybody else."""

import csv
import io
import json
import socket
import urllib.request
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.command import Command
from tests.system.streams import city_file
from tests.waiting import until

pytestmark = pytest.mark.services

REAL = Path(__file__).parents[3] / "shared/data/streams/energy/household_power_consumption_2007-02-01_02.txt"
PARIS_WINTER = timezone(timedelta(hours=1))
TEHRAN_2007 = timedelta(hours=3, minutes=30)


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    return Command(city_file(tmp_path, city), kafka, database_url, tmp_path)


def made_up(path: Path) -> Path:
    """A file of the same kind: three hours, with gaps, a broken line, and halves of watts that are whole joules."""
    lines = ["Date;Time;Global_active_power;Global_reactive_power"]
    begin = datetime(2007, 2, 1)
    for minute in range(180):
        moment = begin + timedelta(minutes=minute)
        power = "?" if minute % 37 == 5 else f"{(minute * 7919 % 5000) / 1000:.3f}"
        lines.append(f"{moment.day}/{moment.month}/{moment.year};{moment:%H:%M:%S};{power};0.1")
    lines.insert(50, "1/2/2007;broken")
    path.write_text("\n".join(lines) + "\n")
    return path


def hourly_sums(path: Path) -> dict[str, int]:
    """Millijoules per hour on Tehran's clock, straight from the file."""
    sums: dict[str, int] = defaultdict(int)
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            try:
                local = datetime.strptime(f"{row['Date']} {row['Time']}", "%d/%m/%Y %H:%M:%S")
                kilowatts = Decimal(row["Global_active_power"])
            except (ValueError, ArithmeticError, TypeError, KeyError):
                continue
            utc = local.replace(tzinfo=PARIS_WINTER).astimezone(UTC)
            hour = (utc + TEHRAN_2007).replace(minute=0, second=0) - TEHRAN_2007
            sums[hour.isoformat()] += int(kilowatts * 1000 * 60 * 1000)
    return dict(sums)


@pytest.mark.parametrize("which", ["made up", "real"])
def test_the_household_file_is_exact_for_the_operator_and_nothing_of_it_can_be_published(which, command, tmp_path):
    if which == "real" and not REAL.exists():
        pytest.skip("the shared data does not lie beside this checkout")
    path = REAL if which == "real" else made_up(tmp_path / "household.txt")
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        "secret-meter-4711,energy.import,a,secret-customer-0815,residential,2006-01-01,\n"
    )
    command("register", "load", str(register))
    unit = ("--unit", "kW") if which == "made up" else ()
    said = command("ingest", "household", str(path), "--source", "secret-meter-4711", "--name", "house", *unit)
    command("process", "--history", "house", "--until-caught-up")
    named = ("--metric", "energy.import", "--from", "2007-02-01", "--until", "2007-02-03")
    refused = command.fails("publish", "--history", "house", *named)
    assert "as many contributors in the register" in refused

    rows = list(csv.DictReader(io.StringIO(command("query", "energy.import"))))
    expected = hourly_sums(path)
    assert {row["window_start"]: int(row["value"]) for row in rows} == expected
    assert len(expected) > 2
    assert {row["contributors"] for row in rows} == {"1"}

    status = json.loads(command("status", "--json"))
    [stream] = status["streams"]
    account = stream["account"]
    assert account["readings"] == account["aggregated"] == stream["acknowledged"]["readings"]
    lines = len(path.read_text().splitlines()) - 1
    assert lines == account["readings"] + sum(status["refused"].values())
    assert f"{account['readings']} of {lines} lines" in said

    published = _over_http(
        command, tmp_path, "/v1/series/energy.import?from=2007-01-31T00:00:00Z&to=2007-02-04T00:00:00Z"
    )
    assert published["windows"] == []
    assert "secret" not in json.dumps(published)


def test_an_import_of_an_unknown_source_refuses_every_line_and_says_so(command, tmp_path):
    register = tmp_path / "register.csv"
    register.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\n"
        "known,energy.import,a,customer,residential,2006-01-01,\n"
    )
    command("register", "load", str(register))
    path = made_up(tmp_path / "household.txt")
    outcome = command.outcome(
        *("ingest", "household", str(path), "--source", "unknown", "--name", "nobody", "--unit", "kW")
    )
    assert outcome.code == 1
    assert "no reading was sent" in outcome.stderr
    assert json.loads(command("status", "--json"))["refused"]["unknown-source"] == 175


def test_what_an_operator_can_mend_is_one_sentence(command, tmp_path):
    assert "is no metric" in command.fails("query", "energy.exprot")
    bad = tmp_path / "bad.csv"
    bad.write_text(
        "source,metric,district,contributor,class,valid_from,valid_to\nx,energy.import,nowhere,c,residential,2006-01-01,\n"
    )
    said = command.fails("register", "load", str(bad))
    assert "line 2" in said
    assert "Traceback" not in said
    assert "loopback" in command.fails("serve", "--host", "0.0.0.0")


def test_a_database_without_tables_and_a_setting_of_the_wrong_kind_are_said_in_words(kafka, server_url, city, tmp_path):
    command = Command(city_file(tmp_path, city), kafka, server_url, tmp_path)
    assert "run `sistercity migrate`" in command.fails("status")
    command.environment |= {"SISTERCITY_PARTITIONS": "many"}
    assert command.fails("status").startswith("sistercity: SISTERCITY_PARTITIONS: ")


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({"SISTERCITY_DATABASE_URL": "nonsense"}, ["status"]),
        ({"SISTERCITY_DATABASE_URL": "nonsense"}, ["migrate"]),
        ({"SISTERCITY_KAFKA": "host:notaport"}, ["process"]),
        ({"SISTERCITY_LOG_LEVEL": "verbose"}, ["process"]),
        ({"SISTERCITY_METRICS_PORT": "99999"}, ["process"]),
        ({"SISTERCITY_METRICS_PORT": "9", "SISTERCITY_METRICS_HOST": "192.0.2.1"}, ["process"]),
        ({}, ["process", "--history", "Bad_Name"]),
        ({}, ["publish", "--once", "--history", "Bad_Name"]),
    ],
)
def test_a_wrong_setting_or_name_is_said_in_words(settings, arguments, command):
    command.environment |= settings
    said = command.fails(*arguments)
    assert said.startswith("sistercity: ")
    assert "Traceback" not in said


def _over_http(command: Command, folder: Path, path: str) -> dict:
    """One answer of the city's API, served by the command."""
    port = free_port()
    with command.running(folder / "serve.log", "serve", "--port", str(port)):
        until(lambda: _listens(port), "the API answers")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return json.load(answer)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
