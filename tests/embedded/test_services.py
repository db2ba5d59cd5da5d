"""What `services` promises, against the real Kafka and PostgreSQL."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import psutil
import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from embedded.postgres_folder import folder_for, nobody, others_may_enter
from embedded.record import Member, ServiceRecord, write_record
from embedded.remove import remove
from embedded.services import AlreadyRunning, NotInstalled, Services, ServicesFailed, await_stop, running, services
from tests.embedded.conftest import ROOT, alive, family, none_alive
from tests.soak import soak_only
from tests.waiting import until

INTERPRETER = Path(sys.executable).resolve()
OWN_AND_WAIT = """
import signal, sys
from pathlib import Path
from embedded.remove import remove
from embedded.services import services
with services(Path(sys.argv[1]), installed=Path(sys.argv[2]), report=lambda line: None) as s:
    print(s.kafka, s.database_url, flush=True)
    signal.pause()
"""


@contextmanager
def owner(home: Path, installed: Path, *, user: int | None = None) -> Iterator[tuple[subprocess.Popen[str], Services]]:
    """Another process that owns the services of `home`, in a session of its own, as under a terminal."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN_AND_WAIT, str(home), str(installed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    ) as process:
        try:
            assert process.stdout
            yield process, Services(*process.stdout.readline().split())
        finally:
            process.kill()


def put(found: Services, text: str) -> None:
    with psycopg.connect(found.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (text,))
    admin = KafkaAdminClient(bootstrap_servers=found.kafka)
    if "kept" not in admin.list_topics():
        admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=found.kafka)
    producer.send("kept", text.encode()).get(20)
    producer.close()


def kept(found: Services) -> tuple[list[str], list[str]]:
    """The texts in the table and in the topic."""
    with psycopg.connect(found.database_url) as connection:
        rows = [row[0] for row in connection.execute("SELECT text FROM kept ORDER BY text")]
    consumer = KafkaConsumer(bootstrap_servers=found.kafka, auto_offset_reset="earliest")
    partition = TopicPartition("kept", 0)
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    messages = [next(consumer).value.decode() for _ in range(end)]
    consumer.close()
    return rows, sorted(messages)


@pytest.mark.services
def test_services_run_for_the_block_or_until_ctrl_c_and_their_data_is_kept(home: Path, installed: Path) -> None:
    lines: list[str] = []
    with services(home, installed=installed, report=lines.append, lasting=False) as first:
        assert running(home) == first
        put(first, "one")
        with psycopg.connect(first.database_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
            [stored] = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchone()
            assert stored.startswith("SCRAM-SHA-256$1:")
        processes = family(home)
        assert len(processes) > 3
    assert none_alive(processes)
    assert running(home) is None and not (home / "services.json").exists()
    assert not (home / "kafka/data/.kafka_cleanshutdown").exists()  # it was not asked to last
    assert any("Kafka answers" in line for line in lines) and any("PostgreSQL answers" in line for line in lines)
    with owner(home, installed) as (process, second):
        assert second.kafka != first.kafka
        with psycopg.connect(second.database_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert kept(second) == (["one"], ["one"])
        check_secrets(home, second)
        with pytest.raises(AlreadyRunning, match=str(process.pid)), services(home, installed=installed):
            pass
        assert running(home) == second
        check_ctrl_c(home, process)
    assert (home / "kafka/data/.kafka_cleanshutdown").exists()
    assert running(home) is None


@pytest.mark.parametrize("name", ["Kafka", "PostgreSQL"])
def test_a_service_that_ends_while_it_should_run_is_named_to_who_waits(tmp_path: Path, name: str) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        ending, lasting = Member.of(process.pid), Member.of(os.getpid())
        members = (ending, lasting) if name == "Kafka" else (lasting, ending)
        write_record(tmp_path, ServiceRecord(Services("127.0.0.1:1", "postgresql://"), *members))
        stop = threading.Event()
        Timer(0.5, process.kill).start()
        with pytest.raises(ServicesFailed, match=f"^{name} has ended"):
            await_stop(tmp_path, stop)
        stop.set()
        await_stop(tmp_path, stop)


def check_ctrl_c(home: Path, process: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches the owner alone, and both services end before it does."""
    processes = family(home)
    within_reach = {pid for pid in processes if os.getsid(pid) == process.pid}
    assert within_reach == {process.pid}
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    assert none_alive(processes)


def check_secrets(home: Path, found: Services) -> None:
    """No one else may read a password, or what the topics hold; and a log of the object does not show it."""
    folder = folder_for(home)
    for path, mode in (
        (home / "services.json", 0o600),
        (home / "services.lock", 0o600),
        (home / "kafka", 0o711),  # what is installed may lie beside the data
        (home / "kafka" / "data", 0o700),
        (folder.path / "password", 0o600),
        (folder.data, 0o700),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    password = (folder.path / "password").read_text()
    assert password in found.database_url and password not in repr(found)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(found.database_url.replace(password, "guess"))
    assert not any(password in " ".join(process.cmdline()) for process in family(home).values() if alive(process))


@pytest.mark.services
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=soak_only)])
def test_after_any_death_of_the_owner_nothing_runs_and_the_next_start_works(
    home: Path, installed: Path, number: signal.Signals
) -> None:
    with owner(home, installed) as (process, found):
        put(found, number.name)
        processes = family(home)
        process.send_signal(number)
        process.wait(30)
        with services(home, installed=installed) as after:
            assert none_alive(processes)
            rows, messages = kept(after)
            assert number.name in rows and number.name in messages


@pytest.mark.services
def test_services_whose_guard_was_killed_are_stopped_by_their_owner_or_by_the_next_start(
    home: Path, installed: Path
) -> None:
    with owner(home, installed) as (process, found):
        put(found, "guard killed")
        processes = family(home)
        guard = kill_guard(processes)
        until(lambda: not alive(guard), "the guard has ended")
        # Its owner lives and still uses them.
        with pytest.raises(AlreadyRunning, match=str(process.pid)), services(home, installed=installed):
            pass
        assert running(home) == found
        process.kill()
        process.wait(30)
        assert not none_alive(processes)
        with pytest.raises(ZeroDivisionError), services(home, installed=installed) as after:
            assert none_alive(processes)
            rows, messages = kept(after)
            assert "guard killed" in rows and "guard killed" in messages
            processes = family(home)
            kill_guard(processes)
            raise ZeroDivisionError
        assert none_alive(processes)


def kill_guard(processes: dict[int, psutil.Process]) -> psutil.Process:
    (guard,) = (each for each in processes.values() if "embedded.guard" in each.cmdline())
    guard.kill()
    return guard


@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not all(map(others_may_enter, INTERPRETER.parents)), reason="others can't run this Python")
def test_services_of_an_ordinary_user_run_as_that_user(
    tmp_path_factory: pytest.TempPathFactory, installed: Path
) -> None:
    user = nobody().uid
    home = Path(f"/var/tmp/sistercity-test-{os.getpid()}")
    home.mkdir(mode=0o700)
    os.chown(home, user, user)
    try:
        with owner(home, installed, user=user) as (process, found):
            put(found, "one")
            assert {each.uids().real for each in family_below(home).values()} == {user}
            process.send_signal(signal.SIGINT)
            process.wait(30)
        assert none_alive(family_below(home))
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def family_below(home: Path) -> dict[int, psutil.Process]:
    commands = {each.pid: (each, " ".join(each.info["cmdline"] or [])) for each in psutil.process_iter(["cmdline"])}
    return {pid: each for pid, (each, command) in commands.items() if str(home) in command and alive(each)}


@pytest.mark.services
def test_a_broker_that_ends_early_is_reported_with_its_log(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "kafka/data").mkdir(parents=True)
    (tmp_path / "kafka/cluster-id").write_text("of a storage that was never formatted")
    try:
        with (
            pytest.raises(ServicesFailed, match=r"meta\.properties") as failed,
            services(tmp_path, installed=installed),
        ):
            pass
        assert "Kafka ended with code 1" in str(failed.value)
        assert none_alive(family(tmp_path))
    finally:
        remove(tmp_path)


def test_a_missing_runtime_is_reported_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"python -m embedded\.install"), services(tmp_path):
        pass
