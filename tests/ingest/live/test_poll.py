"""Polls of a real HTTP server in a process of its own."""

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.live.adapter import Delivered
from ingest.live.answers import LONGEST_WAIT_S, Connecting, PollFailed, PollLimits, retry_after
from ingest.live.poll import POLLS, Poll, ask_once, pause_s
from ingest.live.polled_pages import PollAddress
from node.demo.certificates import Authority
from tests.polled_server import PolledServer, polled_server
from tests.ports import free_port
from tests.soak import examples

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
LIMITS = PollLimits(deadline_s=20, most=1 << 20)


@cache
def of_this_machine() -> ssl.SSLContext:
    """Whom this machine trusts; read once, since it takes long."""
    return httpx.create_ssl_context(trust_env=False)


class Asking:
    """A poll of a server's `readings`; what was acknowledged is done."""

    def __init__(self, server: PolledServer, folder: Path) -> None:
        self.server = server
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.trusted = of_this_machine()
        self.address = PollAddress(f"{server.url}readings", 0, LIMITS)
        self.now_ms = int(NOW.timestamp() * 1_000)
        self.stop = Event()
        self.poll = self.changed()

    def changed(self, **keys: Any) -> Poll:
        """A poll that is another one, as after a restart."""
        self.address = replace(self.address, **keys)
        connecting = Connecting(self.trusted)
        self.poll = Poll("source", self.address, connecting, self.spool, lambda: self.now_ms, self.stop)
        return self.poll

    def arrived(self) -> list[Delivered]:
        return list(self.poll.arrived(lambda checksum: False))

    def contents(self) -> list[bytes]:
        """What has arrived; it is acknowledged, as after the log has it."""
        found = self.arrived()
        contents = [delivered.path.read_bytes() for delivered in found]
        for delivered in found:
            self.poll.acknowledge(delivered)
        return contents

    def fails(self, reason: str, caplog: pytest.LogCaptureFixture) -> str:
        """What is logged of a poll that fails for a reason, which is counted."""
        before = POLLS.labels(reason)._value.get()
        caplog.clear()
        assert self.arrived() == []
        assert POLLS.labels(reason)._value.get() == before + 1
        assert list(self.spool.iterdir()) == []
        [record] = caplog.records
        return record.getMessage()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[PolledServer]:
    with polled_server(tmp_path_factory.mktemp("polled") / "served") as running:
        yield running


@pytest.fixture
def asking(server: PolledServer, tmp_path: Path) -> Asking:
    for path in server.folder.iterdir():
        path.unlink()
    server.serve("readings", "one")
    return Asking(server, tmp_path)


def test_what_has_not_changed_is_not_sent_again_and_costs_no_body(asking: Asking) -> None:
    assert asking.contents() == [b"one"]
    assert asking.contents() == []
    asking.server.serve("readings", "two")
    assert asking.contents() == [b"two"]
    first, second, third = [request.headers for request in asking.server.requests()]
    assert "if-none-match" not in first
    assert second["if-none-match"] == third["if-none-match"]


def test_the_etag_is_sent_only_when_the_log_has_the_answer(asking: Asking) -> None:
    asking.arrived()
    asking.poll.forget()  # the log was away
    assert asking.contents() == [b"one"]
    assert [request.headers.get("if-none-match") for request in asking.server.requests()] == [None, None]


def test_after_a_restart_the_first_answer_comes_whole(asking: Asking) -> None:
    assert asking.contents() == [b"one"]
    asking.changed()
    assert asking.contents() == [b"one"]
    assert asking.contents() == []
    first, again, conditional = [request.headers for request in asking.server.requests()]
    assert "if-none-match" not in {**first, **again}
    assert "if-none-match" in conditional


def test_an_answer_that_comes_again_after_another_one_is_the_newer_of_the_two(asking: Asking) -> None:
    asking.changed(paging="link")  # so without an ETag
    found = []
    for content in ("one", "one", "two", "one"):
        asking.server.serve("readings", content)
        found.append(asking.contents())
    assert found == [[b"one"], [], [b"two"], [b"one"]]


def test_an_interruption_between_pages_that_are_done_and_those_that_are_not_loses_none(asking: Asking) -> None:
    asking.server.serve("readings", "[1]", headers={"Link": '<readings?page=2>; rel="next"'})
    asking.server.serve("readings?page=2", "[2]")
    asking.changed(paging="link")
    first, _ = asking.arrived()
    asking.poll.acknowledge(first)
    asking.poll.forget()
    assert asking.contents() == [b"[1]", b"[2]"]


def test_headers_and_secrets_are_sent_and_secrets_are_read_anew(asking: Asking, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Bearer first\n")
    asking.changed(headers={"Accept": "application/ld+json"}, header_files={"Authorization": secret})
    asking.arrived()
    secret.write_text("Bearer second\n")
    asking.arrived()
    found = [request.headers for request in asking.server.requests()]
    assert [headers["authorization"] for headers in found] == ["Bearer first", "Bearer second"]
    assert {headers["accept"] for headers in found} == {"application/ld+json"}


@pytest.mark.parametrize("coded", [False, True])
def test_gzip_is_unpacked_once_whether_the_answer_says_it_or_the_file_is_it(asking: Asking, coded: bool) -> None:
    content = b"readings\n" * 50_000
    asking.server.serve("readings", content if coded else gzip.compress(content), gzip=coded)
    assert asking.contents() == [content]


def test_pages_of_limit_and_offset_are_asked_for_until_one_is_empty(asking: Asking) -> None:
    pages = {0: "[1,2]", 2: "[3,4]", 4: "[5]", 6: " [ ]\n"}
    for offset, content in pages.items():
        asking.server.serve(f"readings?type=A&limit=2&offset={offset}", content)
    asking.changed(url=f"{asking.server.url}readings?type=A", paging="offset", page_size=2)
    assert asking.contents() == [b"[1,2]", b"[3,4]", b"[5]"]
    asking.server.serve("readings?type=A&limit=2&offset=2", "[3,9]")
    assert asking.contents() == [b"[3,9]"]


def test_a_count_that_the_answer_names_spares_the_empty_page(asking: Asking) -> None:
    for offset, content in ((0, "[1,2]"), (2, "[3]")):
        does = {"headers": {"NGSILD-Results-Count": "3"}}
        asking.server.serve(f"readings?limit=2&offset={offset}", content, **does)
    asking.changed(paging="offset", page_size=2)
    assert asking.contents() == [b"[1,2]", b"[3]"]
    assert len(asking.server.requests()) == 2


def test_a_time_in_the_address_is_that_of_the_last_poll_that_the_log_has(asking: Asking) -> None:
    asking.changed(url=f"{asking.server.url}readings?from={{since}}", begin_s=7_200, overlap_s=60)
    asking.arrived()
    asking.poll.forget()
    asking.now_ms += 600_000
    asking.contents()
    asking.now_ms += 600_000
    asking.contents()
    asked = [request.path.partition("from=")[2] for request in asking.server.requests()]
    times = [NOW - timedelta(hours=2), NOW - timedelta(hours=2) + timedelta(minutes=10), NOW + timedelta(minutes=9)]
    assert asked == [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times]


@pytest.mark.parametrize(
    ("content", "does", "reason", "words"),
    [
        ("", {"status": 503}, "status", "status 503"),
        ("", {"status": 404}, "status", "status 404"),
        ("", {"status": 302, "headers": {"Location": "/elsewhere"}}, "redirect", "list the address that it leads to"),
        ("one", {"status": 304}, "status", "status 304"),
        ("one", {"headers": {"Content-Encoding": "br"}}, "coding", "coded as 'br'"),
        ("one", {"headers": {"Content-Encoding": "gzip"}}, "packed", "not gzip"),
        (gzip.compress(b"x" * 9_999, mtime=0)[:-9], {}, "packed", "cut"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), {}, "packed", "packed twice"),
        (b"PK\x03\x04and more", {}, "packed", "zip archive"),
        (gzip.compress(b"", mtime=0) * 10_001, {}, "packed", "more than 10000 members"),
        ("x" * ((1 << 20) + 1), {}, "too-large", "more than 1 MB"),
        ("", {"endless": True}, "too-large", "more than 1 MB"),
        ("", {"endless": True, "gzip": True}, "too-large", "more than 1 MB"),
        ("x", {"headers": {"Link": '<http://127.0.0.2/>; rel="next"'}}, "pages", "another server"),
        ("x", {"headers": {"Link": '<readings>; rel="next"'}}, "pages", "the same"),
    ],
)
def test_what_is_no_answer_is_said_in_words_and_counted(asking, content, does, reason, words, caplog) -> None:
    asking.server.serve("readings", content, **does)
    asking.changed(paging="link")
    said = asking.fails(reason, caplog)
    assert words in said and "127.0.0.1" not in said


@pytest.mark.parametrize("does", [{"stall": True}, {"drip": True}])
def test_a_source_that_is_slow_is_given_up_at_the_deadline(asking: Asking, does, caplog) -> None:
    asking.server.serve("readings", "", **does)
    asking.changed(limits=PollLimits(0.3, 1 << 20))
    assert "no whole answer within 0.3 s" in asking.fails("too-slow", caplog)


@pytest.mark.parametrize("packed", [1, 2])
def test_a_bomb_of_gzip_is_stopped_at_the_limit_in_flat_memory(asking: Asking, packed: int, caplog) -> None:
    bomb = gzip.compress(b"\0" * (24 << 20))
    asking.server.serve("readings", bomb, gzip=packed == 2)
    asking.changed(limits=PollLimits(60, 4 << 20))
    tracemalloc.start()
    asking.fails("too-large", caplog)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_source_that_is_away_is_asked_again_and_then_delivers(asking: Asking, caplog) -> None:
    port = free_port()
    there = asking.address.url
    asking.changed(url=f"http://127.0.0.1:{port}/")
    asking.fails("unreachable", caplog)
    asking.changed(url=there)
    assert asking.contents() == [b"one"]


def test_a_source_is_examined_by_one_request(asking: Asking) -> None:
    now_ms = int(NOW.timestamp() * 1_000)
    asking.changed(paging="offset")
    assert ask_once(asking.address, Connecting(asking.trusted), now_ms, 5) == "it answers with 3 bytes"
    asking.server.serve("readings", "", status=401)
    with pytest.raises(PollFailed, match="status 401"):
        ask_once(asking.address, Connecting(asking.trusted), now_ms, 5)
    assert [request.path for request in asking.server.requests()] == ["/readings?limit=1000&offset=0"] * 2
    asking.server.serve("readings", "", stall=True)
    assert ask_once(asking.address, TRUSTING, now_ms, 0.2) == "it has not answered whole within 0.2 s"


def test_retry_after_is_kept(asking: Asking) -> None:
    asking.server.serve("readings", "", status=429, headers={"Retry-After": "3600"})
    assert asking.contents() == []
    asking.server.serve("readings", "one")
    assert asking.contents() == []
    assert len(asking.server.requests()) == 1


def test_the_process_ends_while_a_source_does_not_answer(asking: Asking) -> None:
    asking.server.serve("readings", "", stall=True)
    Timer(0.1, asking.stop.set).start()
    assert asking.arrived() == []
    assert asking.arrived() == []


def test_a_certificate_is_trusted_by_the_authority_of_the_file_alone(tmp_path: Path, caplog) -> None:
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    ours, theirs = (Authority(folder, datetime.now(UTC)) for folder in folders)
    made = ours.certify("source", ["127.0.0.1"])
    both = tmp_path / "both.pem"
    both.write_text(made.certificate.read_text() + made.key.read_text())
    with polled_server(tmp_path / "served", both) as server:
        server.serve("readings", "one")
        asking = Asking(server, tmp_path)
        asking.trusted = ssl.create_default_context(cafile=theirs.certificate)
        asking.changed()
        assert "ca_file names the authorities" in asking.fails("unreachable", caplog)
        asking.trusted = ssl.create_default_context(cafile=ours.certificate)
        asking.changed()
        assert asking.contents() == [b"one"]


def test_another_machine_is_reached_through_the_proxy(asking: Asking) -> None:
    """The proxy is asked for the address as a whole."""
    poll = Poll(
        "source",
        replace(asking.address, url="http://10.255.0.9/readings"),
        Connecting(asking.trusted, asking.server.url),
        asking.spool,
        lambda: asking.now_ms,
        asking.stop,
    )
    poll.arrived(lambda checksum: False)
    assert [request.path for request in asking.server.requests()] == ["http://10.255.0.9/readings"]


@given(st.integers(1, 10_000), st.integers(1, 86_400), st.floats(0, LONGEST_WAIT_S), st.floats(0, 1))
def test_pauses_double_up_to_a_bound_and_are_never_shorter_than_what_is_asked_for(failures, every, wait, share) -> None:
    found = pause_s(failures, every, wait, share)
    longest = max(900, every)
    assert wait <= found <= max(wait, longest)
    assert pause_s(failures, every, 0, share) <= pause_s(failures + 1, every, 0, share)
    assert found == wait or min(5, every) / 2 <= found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("999999999", LONGEST_WAIT_S),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0),
        ("soon", 0),
        ("-5", 0),
        ("٣", 0),
        ("", 0),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_time(text: str, seconds: float) -> None:
    assert retry_after(text, NOW) == seconds


TRUSTING = Connecting(httpx.create_ssl_context(trust_env=False))
RAW = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "a"\r\nLink: <x?p=2>; rel="next"\r\n\r\nhello',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 429 Too\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nLink: <http://a:99999/>; rel=next, <\xff>; a=b=c, ;;\r\nX-Total-Count: -1\r\n\r\n[]",
)


@contextmanager
def saying(content: bytes) -> Iterator[int]:
    """A port at which every request gets these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(4_096)
                    connection.sendall(content)

        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@examples(25, soak=1_000)
@given(
    st.sampled_from(RAW), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.binary(max_size=4)), max_size=5)
)
def test_whatever_bytes_a_server_answers_are_an_answer_or_said_in_words(raw, changes) -> None:
    content = bytearray(raw)
    for at, removed, added in changes:
        content[at : at + removed] = added
    with saying(bytes(content)) as port:
        address = PollAddress(f"http://127.0.0.1:{port}/", 0, PollLimits(5, 1 << 20), paging="link")
        with suppress(PollFailed):
            ask_once(address, TRUSTING, 10**12, 5)
