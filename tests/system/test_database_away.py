"""What roles make of a database that is away, or refuses them, with real PostgreSQL and Kafka.

A lost connection ends no role: it is not healthy, says why, and recovers. A refused password ends it, so that
who starts it again reads the secret again.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.own.app import create_own_api
from api.serving import Listening
from federation.partners.pulling import Pulling, follow
from federation.publications.publisher import Publisher
from federation.publications.schedule import Since
from node import serving
from node.health import RoleHealth
from processors.plan import Plan
from processors.reading_fold import ReadingFoldFactory
from processors.runner import Runner
from schemas.catalogue import metrics_of
from store.database import DatabaseRefused, DatabaseUrl, connect
from store.processing_postgres import PostgresStore
from tests.conftest import WORKER
from tests.federation.city import ISFAHAN
from tests.system.own_postgres import own_postgres
from tests.waiting import until

pytestmark = pytest.mark.services

DATASET = "energy.readings"
Role = Callable[[DatabaseUrl, threading.Event, RoleHealth], None]


@pytest.fixture(scope="module")
def roles(kafka_log, tmp_path_factory) -> dict[str, Role]:
    """Each role's loop, as its command runs it."""
    topic = f"away-{WORKER}.{DATASET}.v1"
    kafka_log.create(topic, 1, {"message.timestamp.type": "LogAppendTime"})
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"

    def process(url: DatabaseUrl, stop: threading.Event, health: RoleHealth) -> None:
        folds = ReadingFoldFactory({topic: metrics_of(DATASET)}, "UTC")
        plan = Plan(f"away-{WORKER}.{health.state().role}", commit_s=0.1, backoff_s=(0.1,))
        Runner(kafka_log, PostgresStore(url), folds, plan, report=health.report).run(stop)

    def publish(url: DatabaseUrl, stop: threading.Event, health: RoleHealth) -> None:
        Publisher(
            *(url, ledger, "away", "UTC", lambda _: []),
            since=Since(),
            clock=lambda: 0,
            poll_s=0.1,
            stop=stop,
            report=health.report,
        ).run()

    def pull(url: DatabaseUrl, stop: threading.Event, health: RoleHealth) -> None:
        async def following() -> None:
            ended, loop = asyncio.Event(), asyncio.get_running_loop()

            def end() -> None:
                stop.wait()
                with suppress(RuntimeError):  # the loop has ended by itself
                    loop.call_soon_threadsafe(ended.set)

            threading.Thread(target=end, daemon=True).start()
            await follow(Pulling(url, []), ended, poll_s=0.1, report=health.report)

        asyncio.run(following())

    def serve(url: DatabaseUrl, stop: threading.Event, health: RoleHealth) -> None:
        served = serving.Served(health, stop)
        serving.run(create_own_api(ISFAHAN, url, listener=served), Listening("127.0.0.1", 0), served)

    return {"process": process, "publish": publish, "pull": pull, "serve": serve}


class Running:
    """A role in a thread, and the error with which it ended."""

    def __init__(self, name: str, role: Role, url: DatabaseUrl) -> None:
        self.health = RoleHealth(f"{name} {WORKER}", failing_s=0)
        self.stop = threading.Event()
        self.error: Exception | None = None
        self._run = lambda: role(url, self.stop, self.health)
        self.thread = threading.Thread(target=self._guarded)
        self.thread.start()

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    def end(self) -> None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextmanager
def running(roles: dict[str, Role], url: DatabaseUrl) -> Iterator[list[Running]]:
    begun = [Running(name, role, url) for name, role in roles.items()]
    try:
        yield begun
    finally:
        for role in begun:
            role.end()


def test_while_the_database_is_away_each_role_says_so_and_with_it_back_it_is_well_again(roles, tmp_path_factory):
    with own_postgres(tmp_path_factory.mktemp("away") / "home") as postgres, running(roles, postgres.url) as begun:
        until(lambda: all(role.health.state().healthy for role in begun), "all are well")
        postgres.stop()
        until(lambda: not any(role.health.state().healthy for role in begun), "none is well")
        for role in begun:
            assert "s ago: " in role.health.state().why_not
        postgres.start()
        until(lambda: all(role.health.state().healthy for role in begun), "all are well again")
    assert [role.error for role in begun] == [None] * len(begun)


@pytest.fixture
def keeper(module_database_url) -> Iterator[Callable[[str], str]]:
    """Sets the password of a user of the database, and gives the URL with it."""
    user = f"keeper_{WORKER}"

    def url(password: str) -> str:
        return make_conninfo(module_database_url, user=user, password=password)

    def change(password: str) -> str:
        with connect(module_database_url) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(password)))
        return url(password)

    with connect(module_database_url) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(sql.Identifier(user)))
        yield change
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


def test_a_refused_password_ends_each_role_with_one_sentence(roles, keeper):
    wrong = keeper("now")
    keeper("another")
    with running(roles, wrong) as begun:
        for role in begun:
            role.thread.join(60)
            assert isinstance(role.error, DatabaseRefused)
            assert "refuses this node: password authentication failed" in str(role.error)
            assert "\n" not in str(role.error)
            assert not role.health.state().healthy


def test_a_password_is_read_again_when_a_connection_is_made(roles, keeper):
    known = [keeper("first")]
    with running({"process": roles["process"], "pull": roles["pull"]}, lambda: known[-1]) as begun:
        until(lambda: all(role.health.state().healthy for role in begun), "both are well")
        before = [role.health.state().last_success for role in begun]
        known.append(keeper("second"))
        with connect(known[-1]) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        with pytest.raises(DatabaseRefused):
            connect(known[0])
        until(
            lambda: all(role.health.state().last_success > at for role, at in zip(begun, before, strict=True)),
            "both succeed again",
        )
    assert [role.error for role in begun] == [None, None]


def test_a_server_without_the_database_is_no_refusal(server_url):
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(make_conninfo(server_url, dbname="there_is_no_such_database"))
