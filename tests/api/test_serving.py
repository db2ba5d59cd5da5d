"""The server of both apps, with real sockets: however slow or many its clients are, `/healthz` answers."""

import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from threading import Event

import httpx
import pytest
from fastapi import APIRouter, Request, Response

from api.building import build
from api.health import router as health
from api.serving import BoundedServer, CannotListen, Listening, Patience
from api.tls import UselessCertificate, renewing_context
from tests.api.connections import answer, certified, connected, pem, shown
from tests.api.running import running
from tests.federation.city import ISFAHAN
from tests.waiting import until

pytestmark = pytest.mark.services

LARGE = 32 << 20
SHORT = 0.3
LONG = 600
MANY = 1000
_ESTABLISHED = b"\x01"

routes = APIRouter()


@routes.get("/large")
def large() -> Response:
    """More than both sides' buffers hold."""
    return Response(bytes(LARGE))


@routes.post("/echo")
def echo() -> dict[str, str]:
    return {"status": "ok"}


@routes.get("/client")
def client(request: Request) -> dict[str, str]:
    assert request.client is not None
    return {"client": request.client.host, "scheme": request.url.scheme}


blocked = Event()


@routes.get("/blocked")
def block() -> Response:
    blocked.wait()
    return Response()


@contextmanager
def served(url: str, tls: ssl.SSLContext | None = None, proxies=(), hosts=(), **patience) -> Iterator[int]:
    """The port of a server on loopback."""
    app = build(ISFAHAN, url, (health, routes), "", [], hosts=hosts)
    with running(app, tls=tls, proxies=proxies, patience=Patience(**patience)) as address:
        try:
            yield int(address.rpartition(":")[2])
        finally:
            blocked.set()
    blocked.clear()


def healthz(port: int) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def healthy(port: int) -> bool:
    return healthz(port).json() == {"status": "ok"}


def test_no_answer_tells_which_software_answers_and_browsers_may_not_guess_types(module_database_url):
    with served(module_database_url) as port:
        for path in ("healthz", "nothing"):
            headers = httpx.get(f"http://127.0.0.1:{port}/{path}", trust_env=False).headers
            assert "server" not in headers
            assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_connection_ends_at_its_deadline_whatever_is_missing(module_database_url, sent):
    with served(module_database_url, head=SHORT, answer=2 * SHORT) as port:
        assert answer(connected(port, sent)) == b""
        assert healthy(port)


def test_a_head_that_drips_ends_at_the_same_deadline(module_database_url):
    """Each byte would start a timer anew that only waits for the next one."""
    with served(module_database_url, head=SHORT) as port, connected(port) as connection:

        def dripping() -> bool:
            try:
                connection.sendall(b"X")
            except OSError:
                return False
            return True

        until(lambda: not dripping(), "the connection is ended", seconds=30, pause_s=0.05)


def test_a_reader_that_takes_nothing_is_ended_and_what_it_left_is_dropped(module_database_url):
    with served(module_database_url, answer=SHORT) as port:
        slow = connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert healthy(port)
        until(lambda: _ended(slow), "the connection is ended", seconds=30)
        assert len(answer(slow)) < LARGE


def _ended(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != _ESTABLISHED


def test_healthz_answers_beside_a_thousand_slow_connections_and_busy_threads(module_database_url):
    with served(module_database_url) as port, ExitStack() as stack:
        beginnings = (b"", b"GET / HTT", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        for index in range(MANY):
            stack.enter_context(connected(port, beginnings[index % len(beginnings)]))
        for _ in range(60):  # more than the framework has threads
            stack.enter_context(connected(port, b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n"))
        # An answer, also where a busy machine's database was too slow: 503 then, but not silence.
        assert healthz(port).status_code in (200, 503)
        blocked.set()


def test_an_answer_on_a_socket_that_was_handed_over_waits_for_no_acknowledgement(module_database_url):
    app = build(ISFAHAN, module_database_url, (health,), "", [])
    with socket.create_server(("127.0.0.1", 0)) as listening, listening.dup() as same:
        server = BoundedServer(app, Listening("127.0.0.1", 0), log_level="warning")
        server.should_exit = True
        server.run([listening])
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_where_there_are_too_many_the_one_that_waited_longest_makes_room(module_database_url):
    with served(module_database_url, connections=10, head=LONG) as port, ExitStack() as stack:
        first, *others = [stack.enter_context(connected(port)) for _ in range(10)]
        assert healthy(port)
        assert answer(first) == b""
        assert not any(_ended(connection) for connection in others)


def test_a_body_that_is_too_long_is_refused_before_its_route(module_database_url):
    with served(module_database_url) as port:
        refused = httpx.post(f"http://127.0.0.1:{port}/echo", content=bytes(1 << 17), trust_env=False)
        assert (refused.status_code, refused.json()["type"]) == (413, "urn:sistercity:problem:too-long")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("exchange.isfahan.example", 200),
        ("EXCHANGE.isfahan.example:8443", 200),
        ("isfahan.example", 400),
        ("exchange.isfahan.example.evil.example", 400),
        ("exchange.isfahan.example@evil.example", 400),
        ("[::1]:8443", 400),
        ("", 400),
    ],
)
def test_requests_for_other_hosts_are_refused_but_for_healthz(module_database_url, host, status):
    with served(module_database_url, hosts=["exchange.isfahan.example"]) as port:
        url = f"http://127.0.0.1:{port}"
        found = httpx.post(f"{url}/echo", headers={"Host": host}, trust_env=False)
        assert found.status_code == status
        assert httpx.get(f"{url}/healthz", headers={"Host": host or "x"}, trust_env=False).status_code == 200


def test_a_renewed_certificate_is_shown_to_the_next_connection_and_half_a_renewal_changes_nothing(
    module_database_url, tmp_path
):
    old, new = certified(tmp_path, "old", "new")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(old.certificate, certificate)
    shutil.copy(old.key, key)
    with served(module_database_url, renewing_context(certificate, key)) as port:
        trusted = ssl.create_default_context(cafile=tmp_path / "old" / "authority.pem")
        answer = httpx.get(f"https://127.0.0.1:{port}/healthz", verify=trusted, trust_env=False)
        assert answer.json() == {"status": "ok"}
        assert shown(port) == pem(old.certificate)
        shutil.copy(new.certificate, certificate)
        assert shown(port) == pem(old.certificate)
        certificate.unlink()
        assert shown(port) == pem(old.certificate)
        shutil.copy(new.certificate, certificate)
        shutil.copy(new.key, key)
        assert shown(port) == pem(new.certificate)


def test_a_certificate_that_does_not_fit_its_key_is_refused_in_words(tmp_path):
    one, other = certified(tmp_path, "one", "other")
    with pytest.raises(UselessCertificate, match="can't be used"):
        renewing_context(one.certificate, other.key)


def test_a_connection_that_begins_no_handshake_ends_as_one_without_a_head(module_database_url, tmp_path):
    [made] = certified(tmp_path, "only")
    with served(module_database_url, renewing_context(made.certificate, made.key), head=SHORT) as port:
        assert answer(connected(port)) == b""


def test_what_a_proxy_says_is_believed_from_the_named_ones_alone(module_database_url):
    told = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    for proxies, client in (((ip_network("127.0.0.1/32"),), "203.0.113.9"), ((), "127.0.0.1")):
        with served(module_database_url, proxies=proxies) as port:
            found = httpx.get(f"http://127.0.0.1:{port}/client", headers=told, trust_env=False).json()
            assert found == {"client": client, "scheme": "https" if proxies else "http"}


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_an_address_that_cannot_be_listened_on_is_named_in_one_sentence(host, module_database_url) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"can't listen on {host}:{port}: "):
            BoundedServer(build(ISFAHAN, module_database_url, (health,), "", []), Listening(host, port)).run()


ENDED_BY_A_HANDLER = """
import signal, socket, sys
from starlette.applications import Starlette
from api.serving import BoundedServer, Listening
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
BoundedServer(Starlette(), Listening("127.0.0.1", 0)).run([listening])
"""


def test_a_server_that_a_handler_of_signals_ends_was_not_refused_its_port():
    with subprocess.Popen([sys.executable, "-c", ENDED_BY_A_HANDLER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 404
        process.terminate()
        assert process.wait(20) == 7
