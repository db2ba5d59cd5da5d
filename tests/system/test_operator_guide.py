"""Each command of docs/operator.md is run, as it is written there, on a city that begins with nothing.

The install chapter comes first, since the others need what it makes; then the chapters in their order. A command that
stands in the guide several times is run again where it stands on a line of its own, as a step of a procedure. Commands
of containers are run by `tests/containers/test_operator_guide.py`.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from eventlog.kafka import KafkaLog
from store.database import connect
from tests.guide import CONTAINERS, DOCUMENT, shell_commands, sistercity_commands
from tests.ports import free_port
from tests.soak import soak, soak_only
from tests.system import test_demo
from tests.system.guided_city import CITY, METERS, GuidedCity
from tests.system.test_cut_log import delete_topic
from tests.waiting import until

pytestmark = pytest.mark.services

Run = Callable[[GuidedCity, list[str]], object]
RUNS: dict[str, Run] = {}
"""How each command is run, by its words in the guide."""
DEMO = "make demo"
INSTALL = "make install"
"""Brings what every test runs with."""
SETTINGS = 'export SISTERCITY_CITY=isfahan PATH="$PWD/.venv/bin:$PATH"'
"""What `GuidedCity` sets."""
MANY_CITIES = "SISTERCITY_SOAK=1 .venv/bin/python -m pytest -s tests/federation/test_many_cities.py"

TOPIC = f"{CITY}.energy.readings.v1"


def runs(*written: str) -> Callable[[Run], Run]:
    """Say that a function runs these commands of the guide."""

    def register(run: Run) -> Run:
        assert not RUNS.keys() & set(written)
        RUNS.update(dict.fromkeys(written, run))
        return run

    return register


@pytest.fixture
def guided(tmp_path: Path) -> Iterator[GuidedCity]:
    made = GuidedCity(tmp_path)
    yield made
    made.close()


def test_every_command_of_the_guide_is_run_by_a_test():
    written = {command.text: command.line for command in sistercity_commands()}
    assert {f"{DOCUMENT.name}:{line}: {text}" for text, line in written.items() if text not in RUNS} == set()
    assert RUNS.keys() - written.keys() == set(), "these are not in the guide any more"
    outside = {command.text for command in shell_commands() if command.section != CONTAINERS}
    assert outside == {DEMO, INSTALL, SETTINGS, MANY_CITIES}, "nothing runs these"


@soak_only
@soak(minutes=6)
def test_the_commands_of_the_guide_lead_from_nothing_through_every_incident(guided: GuidedCity):
    commands = sistercity_commands()
    installing = [command for command in commands if command.chapter == "Install"]
    ran: set[str] = set()
    for command in [*installing, *(command for command in commands if command not in installing)]:
        if command.text in ran and not command.of_a_block:
            continue
        ran.add(command.text)
        try:
            RUNS[command.text](guided, command.text.split())
        except Exception as error:
            raise AssertionError(f"{DOCUMENT.name}:{command.line}: {command.text}") from error


def test_make_gives_the_demo_that_its_own_test_runs():
    root = DOCUMENT.parents[1]
    command = ["make", "--no-print-directory", "--dry-run", *DEMO.split()[1:]]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1].split()[-1:] == ["demo"]
    assert callable(test_demo.test_two_cities_exchange_a_day_and_every_account_adds_up)


def test_the_measurement_of_the_guide_is_a_test_of_the_soak():
    module = import_module(Path(MANY_CITIES.rsplit(maxsplit=1)[-1]).with_suffix("").as_posix().replace("/", "."))
    assert any(
        "soak" in mark.name
        for name, test in vars(module).items()
        if name.startswith("test_")
        for mark in getattr(test, "pytestmark", ())
    )


@runs(
    "size --people 1500000",
    "migrate",
    "topics plan",
    "status",
    "relay-dead-letters",
    "standing",
    "standing energy.import",
    "correct --once",
    "verify",
    "identity show [FILE]",
    "identity renew",
    "identity rotate publish",
)
def _ends_well(city: GuidedCity, words: list[str]) -> None:
    city.command(*[word for word in words if not word.startswith("[")])


@runs("services")
def _services(city: GuidedCity, words: list[str]) -> None:
    city.start_services(*words)


@runs("register load register.csv")
def _register(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:-1], str(city.register_file()))
    city.command("ingest", "simulate", "--meters", str(METERS))  # the readings of its sources


@runs("doctor")
def _doctor(city: GuidedCity, words: list[str]) -> None:
    said = city.command.outcome(*words)
    assert "ok    kafka" in said.stdout and "ok    tables" in said.stdout, said


@runs("process", "correct", "pull --follow")
def _lasts(city: GuidedCity, words: list[str]) -> None:
    with city.lasting(*words):
        pass


@runs("process --workers 4", "detect --workers 4")
def _several_last(city: GuidedCity, words: list[str]) -> None:
    with city.lasting(*words, processes=int(words[-1])):
        pass


@runs("ingest cameras")
def _cameras(city: GuidedCity, words: list[str]) -> None:
    """With two cameras that nobody reaches; `test_live_cameras.py` follows others."""
    city.command("register", "load", str(city.camera_register("K-1", "K-2")))
    listed = city.folder / "cameras.toml"
    listed.write_text(
        "".join(f'[[cameras]]\nsource = "{name}"\nurl = "http://127.0.0.1:1/"\nrate = 2\n' for name in ("K-1", "K-2"))
    )
    log = city.folder / "cameras.log"
    with city.command.running(log, *words, SISTERCITY_CAMERAS=str(listed)) as process:
        until(lambda: "camera 2" in log.read_text() or process.poll() is not None, "it says that a camera is away")
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


@runs("health")
def _health(city: GuidedCity, words: list[str]) -> None:
    with city.lasting("process") as settings:
        assert city.with_settings(**settings)(*words) == "ok\n"


@runs("process --accept-gap", "process --accept-dead", "process --accept-cut")
def _until_caught_up(city: GuidedCity, words: list[str]) -> None:
    city.command(*words, "--until-caught-up")


@runs("process --skip TOPIC PARTITION OFFSET")
def _skip(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:2], TOPIC, "0", "0", "--until-caught-up")


@runs("topics grow energy.readings --partitions 64")
def _grow(city: GuidedCity, words: list[str]) -> None:
    assert f"go to {CITY}.energy.readings.v2, 64 partitions" in city.command(*words)


@runs("identity create --contact ... --address https://...")
def _identity(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:3], "exchange@isfahan.example", words[4], city.address)


@runs("identity revoke publish --reason ...")
def _revoke_key(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:-1], "It was on a lost laptop.")


@runs("identity revoke identity --reason ...")
def _revoke_identity(city: GuidedCity, words: list[str]) -> None:
    """Of another identity, because it ends one for good."""
    city.another_identity()(*words[:-1], "The key was lost.")


@runs("identity export [FILE]")
def _export_identity(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:2], str(city.folder / "exported.jws"))
    assert (city.folder / "exported.jws").read_text() == Path(city.identity).read_text()


@runs("identity import FILE")
def _import_identity(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:2], city.identity, "--own")


@runs("serve")
def _serve(city: GuidedCity, words: list[str]) -> None:
    with city.lasting(*words, "--port", str(free_port())):
        pass


@runs("serve-partners")
def _serve_partners(city: GuidedCity, words: list[str]) -> None:
    assert city.door[: len(words)] == tuple(words)
    assert city.agreement  # for which the doors are opened


@runs("migrate --partner-role NAME")
def _partner_role(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:2], "partners_of_isfahan")
    assert city.sql("SELECT 1 FROM pg_roles WHERE rolname = 'partners_of_isfahan'")


@runs("audit verify", "pull", "pull --lost-bodies")
def _under_the_agreement(city: GuidedCity, words: list[str]) -> None:
    assert city.agreement
    city.command(*words)


@runs("audit kept")
def _kept(city: GuidedCity, words: list[str]) -> None:
    (city.folder / "kept.txt").write_text(city.partner.command(*words))


@runs("audit verify --kept kept.txt", "audit verify lines.jsonl")
def _with_file(city: GuidedCity, words: list[str]) -> None:
    if "--kept" in words:
        _kept(city, ["audit", "kept"])  # which the guide names beside it
    city.command(*words[:-1], str(city.folder / words[-1]))


@runs("audit export AGREEMENT --out lines.jsonl")
def _export_audit(city: GuidedCity, words: list[str]) -> None:
    city.command(*words[:2], city.agreement, words[3], str(city.folder / words[4]))


@runs("export-bundle AGREEMENT FILE")
def _export_bundle(city: GuidedCity, words: list[str]) -> None:
    city.command(words[0], city.agreement, str(city.folder / "bundle.tar"))


@runs("import-bundle FILE")
def _import_bundle(city: GuidedCity, words: list[str]) -> None:
    assert f"{CITY}: " in city.partner.command(words[0], str(city.folder / "bundle.tar"))


@runs("publish")
def _publish(city: GuidedCity, words: list[str]) -> None:
    city.publish(*words)


@runs("backup /backups")
def _backup(city: GuidedCity, words: list[str]) -> None:
    city.backups.mkdir()
    city.command(words[0], str(city.backups))


@runs("restore /backups/isfahan-20261128T040000Z.zip", "restore FILE")
def _restore(city: GuidedCity, words: list[str]) -> None:
    [file] = city.backups.iterdir()
    assert words[-1] == "FILE" or re.sub(r"\d", "9", Path(words[-1]).name) == re.sub(r"\d", "9", file.name)
    url = city.new_database(f"restored_{'file' if words[-1] == 'FILE' else 'named'}")
    city.with_settings(SISTERCITY_DATABASE_URL=url)(words[0], str(file))
    with connect(url) as connection:
        restored = connection.execute("SELECT count(*) FROM publications").fetchall()
    assert restored == city.sql("SELECT count(*) FROM publications")


@runs("publish --resume-after-loss")
def _resume(city: GuidedCity, words: list[str]) -> None:
    city.lose_ledger()
    city.command(*words)


@runs("topics made-anew")
def _made_anew(city: GuidedCity, words: list[str]) -> None:
    assert f"{TOPIC}: made anew" in city.command(*words)


@runs("topics made-anew --accept")
def _accept_made_anew(city: GuidedCity, words: list[str]) -> None:
    assert "accepted" in city.command(*words)


@runs("topics create")
def _create_topics(city: GuidedCity, words: list[str]) -> None:
    """The second time is after Kafka was lost."""
    log = KafkaLog(city.services.kafka)
    if TOPIC in log.topics():
        delete_topic(log, city.services.kafka, TOPIC)
    city.command(*words)
    assert TOPIC in log.topics()


@runs("withdraw energy.import 2026-05-01T08:30:00Z --reason Meters of one feeder were counted twice.")
def _withdraw(city: GuidedCity, words: list[str]) -> None:
    [(start,)] = city.sql(
        "SELECT max(window_start) FROM publications WHERE metric = 'energy.import' AND kind = 'publication'"
    )
    city.command(*words[:2], start.isoformat(), words[3], " ".join(words[4:]))
    assert city.sql("SELECT 1 FROM publications WHERE kind = 'withdrawal'")


@runs("partner show hue --out proof")
def _show(city: GuidedCity, words: list[str]) -> None:
    """Of a partner that tells two stories."""
    city.begin_contradicted()
    said = city.contradicted(*words[:2], city.liar, words[3], str(city.folder / words[4]))
    assert "nobody has settled it" in said and list((city.folder / words[4]).iterdir())


@runs("partner settle hue energy.import --go-on-with replaced --by N. N. --reason restored after a fire")
def _settle(city: GuidedCity, words: list[str]) -> None:
    city.contradicted(*words[:2], city.liar, *words[3:6], "--by", "N. N.", "--reason", "a fire", answer="y\n")
    assert "settled by N. N." in city.contradicted("status")


@runs("partner skip hue energy.import 17 --by N. N. --reason cells out of order")
def _skip_body(city: GuidedCity, words: list[str]) -> None:
    number = city.begin_refused_body()
    city.contradicted(*words[:2], city.liar, words[3], number, "--by", "N. N.", "--reason", "cells out of order")
