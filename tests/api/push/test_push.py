"""The door of senders, served as in a node: what it takes, and what it refuses before it costs anything."""

import asyncio
import gzip
import hashlib
import threading
from collections.abc import Callable
from contextlib import contextmanager

import httpx
import pytest

from api.push.app import AT_ONCE, LONGEST, PushApp, Sender
from ingest.live.inbox import AWAY, DeliveryAnswer
from tests.api.running import running

TOKEN = "secret-of-the-head-end"
JSON = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Log:
    """An inlet that keeps what it is given, and answers as it is told; None keeps the sender waiting."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.answer: DeliveryAnswer | None = DeliveryAnswer(taken=True)
        self.room = True
        self.came = threading.Semaphore(0)
        self.waiting: list[Callable[[DeliveryAnswer], None]] = []

    def put(self, content: bytes, name: str, answer: Callable[[DeliveryAnswer], None]) -> bool:
        if not self.room:
            return False
        self.taken.append((content, name))
        if self.answer is None:
            self.waiting.append(answer)
        else:
            answer(self.answer)
        self.came.release()
        return True


@contextmanager
def door(log: Log, rate: float = 1_000.0):
    tokens = [hashlib.sha256(text.encode()).digest() for text in ("older", TOKEN)]
    sender = Sender("head-end", tokens, ("application/json", "application/x-ndjson"), log, rate)
    with running(PushApp([sender])) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_body_is_taken_when_the_log_has_it_and_what_is_refused_is_told(log: Log) -> None:
    log.answer = DeliveryAnswer(taken=True, refused=[(2, "unknown-source")], count=1)
    with door(log) as client:
        found = client.post("/v1/readings", content=b"[1, 2]", headers=JSON)
        packed = client.post(
            "/v1/readings", content=gzip.compress(b"[3]"), headers={**JSON, "Content-Encoding": "gzip"}
        )
    assert (found.status_code, packed.status_code) == (202, 202)
    assert found.json() == {"refused_count": 1, "refused": [{"position": 2, "reason": "unknown-source"}]}
    assert [content for content, _ in log.taken] == [b"[1, 2]", b"[3]"]


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


def test_a_key_gets_its_answer_again_and_another_body_under_it_is_refused(log: Log) -> None:
    log.answer = DeliveryAnswer(taken=True, refused=[(1, "time")], count=1)
    keyed = {**JSON, "Idempotency-Key": "one"}
    with door(log) as client:
        first = client.post("/v1/readings", content=b"[1]", headers=keyed)
        again = client.post("/v1/readings", content=b"[1]", headers=keyed)
        other = client.post("/v1/readings", content=b"[2]", headers=keyed)
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert first.json() == again.json()
    assert log.taken == [(b"[1]", "one")]


def test_a_log_that_is_away_or_full_asks_to_come_again_and_keeps_no_key(log: Log) -> None:
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
