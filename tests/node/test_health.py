"""A role is healthy while it succeeds at what it is for; whoever asks is told since when it has not, and why."""

import json
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from node import cli
from node.health import RoleHealth
from node.metrics_server import MOST_CONNECTIONS, MetricsServer
from node.settings import settings

START = 1_000.0


class Clock:
    """Seconds that a test sets; the wall clock is a million seconds ahead of it."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at + 1e6


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return RoleHealth("tests", silent_s=60, failing_s=30, clock=clock, now=clock.wall)


def test_a_role_is_not_healthy_before_its_first_success(health, clock):
    clock.at += 7
    assert health.state().why_not.startswith("no success since its start 7 s ago")
    health.report(None)
    assert health.state().healthy
    assert health.state().last_success == clock.wall()


def test_a_role_that_fails_is_not_healthy_when_half_the_time_has_passed_and_says_why(health, clock):
    health.report(None)
    clock.at += 30
    health.report("PostgreSQL: connection refused")
    assert health.state().healthy
    clock.at += 1
    assert health.state().why_not == "no success since its last success 31 s ago: PostgreSQL: connection refused"
    health.report(None)
    assert health.state().healthy


def test_a_role_that_says_nothing_any_more_is_not_healthy_either(health, clock):
    health.report(None)
    clock.at += 60
    assert health.state().healthy
    clock.at += 1
    assert not health.state().healthy


def test_the_metrics_say_the_same(health, clock):
    labels = {"role": "tests"}
    assert REGISTRY.get_sample_value("sistercity_healthy", labels) == 0
    health.report(None)
    assert REGISTRY.get_sample_value("sistercity_healthy", labels) == 1
    assert REGISTRY.get_sample_value("sistercity_last_success_timestamp_seconds", labels) == clock.wall()
    clock.at += 61
    assert REGISTRY.get_sample_value("sistercity_healthy", labels) == 0


@pytest.fixture
def served(health, monkeypatch):
    """The port of the health, and of the metrics; the settings are those of its process."""
    server = MetricsServer("127.0.0.1", 0, health)
    monkeypatch.setenv("SISTERCITY_METRICS_PORT", str(server.port))
    monkeypatch.setenv("SISTERCITY_METRICS_HOST", "0.0.0.0")
    settings.cache_clear()
    yield server.port
    settings.cache_clear()
    server.close()


def test_a_port_serves_both_the_metrics_and_the_health(served, health):
    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{served}{path}") as answer:
            return bytes(answer.read())

    with pytest.raises(urllib.error.HTTPError, match="503"):
        get("/healthz")
    health.report(None)
    known = json.loads(get("/healthz"))
    assert (known["role"], known["healthy"], known["why_not"]) == ("tests", True, None)
    assert b'sistercity_healthy{role="tests"} 1.0' in get("/metrics")


def test_of_too_many_connections_to_the_port_the_oldest_ends_and_it_answers(served):
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served), timeout=5))
            for _ in range(2 * MOST_CONNECTIONS)
        ]
        for connection in held:
            connection.sendall(b"GET /me")
        with urllib.request.urlopen(f"http://127.0.0.1:{served}/metrics") as answer:
            assert answer.status == 200
        for connection in held[:MOST_CONNECTIONS]:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_the_command_asks_the_process_whose_settings_it_has(served, health, monkeypatch, capsys):
    health.report("Kafka: no brokers")
    monkeypatch.setattr("sys.argv", ["sistercity", "health"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("sistercity: tests: no success since its start 0 s ago: Kafka: no brokers")
    assert told.count("\n") == 1
    health.report(None)
    asked = CliRunner().invoke(cli.app, ["health"])
    assert (asked.exit_code, asked.output) == (0, "ok\n")


def test_a_port_at_which_nobody_listens_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sistercity", "health", "--url", "http://127.0.0.1:1/healthz"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "http://127.0.0.1:1/healthz does not answer" in capsys.readouterr().err
