"""The door of senders, served as in a node: what it takes, and what it refuses before it costs anything."""

import asyncio
import gzip
import hashlib
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from api.push.app import AT_ONCE, LONGEST, MOST_TOGETHER, PushApp, Sender
from api.serving import Patience
from api.tls import renewing_context
from ingest.live.inbox import AWAY, KEY_USED, DeliveryAnswer
from tests.api.connections import answer, certified, connected, pem, shown
from tests.api.running import running
from tests.waiting import until

TOKEN = "secret-of-the-head-end"
JSON = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Log:
    """An inlet that keeps what it is given, and answers as it is told; None keeps the sender waiting."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.keys: list[str] = []
        self.answer: DeliveryAnswer | None = DeliveryAnswer(taken=True)
        self.room = True
        self.came = threading.Semaphore(0)
        self.waiting: list[Callable[[DeliveryAnswer], None]] = []

    def put(self, content: bytes, name: str, answer: Callable[[DeliveryAnswer], None], key: str) -> bool:
        if not self.room:
            return False
        self.keys.append(key)
        self.taken.append((content, name))
        if self.answer is None:
            self.waiting.append(answer)
        else:
            answer(self.answer)
        self.came.release()
        return True


@contextmanager
def door(log: Log, rate: float = 1_000.0, body_s: float = 20, **served: Any):
    tokens = [hashlib.sha256(text.encode()).digest() for text in ("older", TOKEN)]
    sender = Sender("head-end", tokens, ("application/json", "application/x-ndjson"), log, rate)
    app = PushApp([sender], body_s=body_s)
    with running(app, **served) as url, httpx.Client(base_url=url, verify=False, trust_env=False) as client:
        yield client


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_body_is_taken_when_the_log_has_it_and_what_is_refused_is_told(log: Log) -> None:
    log.answer = DeliveryAnswer(taken=True, refused=[(2, "unknown-source")], count=1)
    with door(log) as client:
        found = client.post("/v1/readings", content=b"[1, 2]", headers=JSON)
        parts = [b"[3", Random(0).randbytes(200_000), b"]"]  # of them, the middle one is longer than a block
        members = b"".join(map(gzip.compress, parts))
        packed = client.post("/v1/readings", content=members, headers={**JSON, "Content-Encoding": "gzip"})
    assert (found.status_code, packed.status_code) == (202, 202)
    assert found.json() == {"refused_count": 1, "refused": [{"position": 2, "reason": "unknown-source"}]}
    assert [content for content, _ in log.taken] == [b"[1, 2]", b"".join(parts)]


def test_nothing_is_answered_before_the_log_has_it(log: Log) -> None:
    log.answer = None
    found: list[int] = []
    with door(log) as client:
        sending = threading.Thread(
            target=lambda: found.append(client.post("/v1/readings", content=b"[]", headers=JSON).status_code)
        )
        sending.start()
        assert log.came.acquire(timeout=30)
        assert found == []
        log.waiting.pop()(DeliveryAnswer(taken=True))
        sending.join()
    assert found == [202]


REFUSED = {
    "no token": (401, {"Authorization": ""}, b"[]"),
    "another token": (401, {"Authorization": "Bearer other"}, b"[]"),
    "another scheme": (401, {"Authorization": f"Basic {TOKEN}"}, b"[]"),
    "another type": (415, {"Content-Type": "text/plain"}, b"[]"),
    "no type": (415, {"Content-Type": ""}, b"[]"),
    "another coding": (415, {"Content-Encoding": "br"}, b"[]"),
    "no gzip": (422, {"Content-Encoding": "gzip"}, b"[]"),
    "gzip that is cut": (422, {"Content-Encoding": "gzip"}, gzip.compress(bytes(1_000))[:-5]),
    "a bomb": (413, {"Content-Encoding": "gzip"}, gzip.compress(bytes(LONGEST + 1), 1)),
    "more members than anybody packs": (422, {"Content-Encoding": "gzip"}, gzip.compress(b"") * 20_000),
    "a bomb of many members": (413, {"Content-Encoding": "gzip"}, gzip.compress(bytes(LONGEST // 2), 9) * 3),
    "a long body": (413, {}, b" " * (LONGEST + 1)),
    "a long key": (422, {"Idempotency-Key": "k" * 201}, b"[]"),
}


@pytest.mark.parametrize(("status", "headers", "body"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_reaches_no_log(log: Log, status: int, headers: dict[str, str], body: bytes) -> None:
    with door(log) as client:
        found = client.post("/v1/readings", content=body, headers={**JSON, **headers})
    assert (found.status_code, log.taken) == (status, [])
    assert found.headers["content-type"] == "application/problem+json"


def test_other_addresses_and_methods_give_nothing(log: Log) -> None:
    with door(log) as client:
        assert client.get("/v1/readings", headers=JSON).status_code == 405
        assert client.post("/v1/other", content=b"[]", headers=JSON).status_code == 404
        assert client.get("/healthz").status_code == 404


def test_a_key_goes_with_its_body_and_another_body_under_it_is_refused(log: Log) -> None:
    keyed = {**JSON, "Idempotency-Key": "one"}
    with door(log) as client:
        first = client.post("/v1/readings", content=b"[1]", headers=keyed)
        log.answer = KEY_USED
        other = client.post("/v1/readings", content=b"[2]", headers=keyed)
    assert (first.status_code, other.status_code, other.json()["title"]) == (202, 422, "The key was used")
    assert (log.taken, log.keys) == ([(b"[1]", "one"), (b"[2]", "one")], ["one", "one"])


def test_a_log_that_is_away_or_full_asks_to_come_again(log: Log) -> None:
    keyed = {**JSON, "Idempotency-Key": "one"}
    with door(log) as client:
        log.answer = AWAY
        away = client.post("/v1/readings", content=b"[1]", headers=keyed)
        log.room = False
        full = client.post("/v1/readings", content=b"[1]", headers=keyed)
        log.room, log.answer = True, DeliveryAnswer(taken=True)
        taken = client.post("/v1/readings", content=b"[1]", headers=keyed)
    assert (away.status_code, full.status_code, taken.status_code) == (503, 503, 202)
    assert away.headers["retry-after"] == full.headers["retry-after"] == "5"


def test_what_cannot_be_read_is_said(log: Log) -> None:
    log.answer = DeliveryAnswer(taken=False, words="1: is not JSON")
    with door(log) as client:
        found = client.post("/v1/readings", content=b"x", headers=JSON)
    assert found.status_code == 422
    assert "is not JSON" in found.json()["detail"]


def test_a_source_beyond_its_rate_or_with_too_many_requests_waits(log: Log) -> None:
    with door(log, rate=2) as client:
        found = [client.post("/v1/readings", content=b"[]", headers=JSON) for _ in range(20)]
    assert {answer.status_code for answer in found} == {202, 429}
    assert {answer.headers["retry-after"] for answer in found if answer.status_code == 429} == {"1"}

    async def at_once(url: str) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
            sent = [
                asyncio.create_task(client.post("/v1/readings", content=b"[]", headers=JSON))
                for _ in range(AT_ONCE + 3)
            ]
            await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
            while sum(task.done() for task in sent) < 3 or len(log.waiting) < AT_ONCE:
                await asyncio.sleep(0)
            for answer in log.waiting:
                answer(DeliveryAnswer(taken=True))
            return [(await task).status_code for task in sent]

    log.answer = None
    with door(log) as client:
        codes = asyncio.run(at_once(str(client.base_url)))
    assert sorted(codes) == [202] * AT_ONCE + [429] * 3


HEAD = (
    b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
    + TOKEN.encode()
)
SHORT = 0.3


def test_the_certificate_is_read_again_and_whoever_does_not_trust_it_sends_nothing(log: Log, tmp_path: Path) -> None:
    old, new = certified(tmp_path, "old", "new")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(old.certificate, certificate)
    shutil.copy(old.key, key)
    with door(log, tls=renewing_context(certificate, key)) as client:
        port = client.base_url.port
        assert shown(port) == pem(old.certificate)
        shutil.copy(new.key, key)
        assert shown(port) == pem(old.certificate)  # its certificate is not there yet
        shutil.copy(new.certificate, certificate)
        assert shown(port) == pem(new.certificate)
        trusts = ssl.create_default_context(cafile=tmp_path / "new" / "authority.pem")
        distrusts = ssl.create_default_context(cafile=tmp_path / "old" / "authority.pem")
        address = f"https://127.0.0.1:{port}/v1/readings"
        assert httpx.post(address, content=b"[1]", headers=JSON, verify=trusts, trust_env=False).status_code == 202
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.post(address, content=b"[2]", headers=JSON, verify=distrusts, trust_env=False)
        assert answer(connected(port, HEAD + b"\r\n\r\n")) == b""  # no TLS
    assert [content for content, _ in log.taken] == [b"[1]"]


def test_a_sender_that_is_slow_with_its_head_or_body_is_ended_and_others_go_on(log: Log) -> None:
    with door(log, body_s=SHORT, patience=Patience(head=SHORT)) as client:
        port = client.base_url.port
        slow_head, slow_body = connected(port, HEAD), connected(port, HEAD + b"\r\nContent-Length: 9\r\n\r\n[")
        gone = connected(port, HEAD + b"\r\nContent-Length: 9\r\n\r\n[")
        gone.close()
        assert client.post("/v1/readings", content=b"[1]", headers=JSON).status_code == 202
        assert b" 408 " in answer(slow_body).partition(b"\r\n")[0]
        assert b" 202 " not in answer(slow_head)
    assert [content for content, _ in log.taken] == [b"[1]"]


def test_a_body_without_a_length_ends_at_the_limit(log: Log) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 8 * LONGEST:
            sent += 1 << 20
            yield bytes(1 << 20)

    # The connection may be closed while the client still sends.
    with door(log) as client, suppress(httpx.WriteError):
        assert client.post("/v1/readings", content=endless(), headers=JSON).status_code == 413
    assert (log.taken, sent < 8 * LONGEST) == ([], True)


def test_bodies_have_a_limit_together_and_what_is_given_up_makes_room(log: Log) -> None:
    def status() -> int:
        return client.post("/v1/readings", content=b"[1, 2, 3]", headers=JSON).status_code

    with door(log) as client, ExitStack() as stack:
        port = client.base_url.port
        for _ in range(MOST_TOGETHER // LONGEST):
            begun = HEAD + b"\r\nContent-Length: %d\r\n\r\n" % LONGEST
            stack.enter_context(connected(port, begun)).sendall(bytes(LONGEST - 1))
        until(lambda: status() == 503, "there is no room", seconds=10)
        stack.close()
        until(lambda: status() == 202, "there is room again", seconds=10)
