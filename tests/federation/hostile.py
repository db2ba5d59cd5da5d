"""A partner whose answers a test chooses, right or wrong: a real HTTP server on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Edit = Callable[[Json], Any]

CATALOG: Json = {
    "city": {
        "id": "hue",
        "name": "Huế",
        "names": {"vi": "Huế"},
        "country": "VN",
        "zone": "Asia/Ho_Chi_Minh",
        "population": 652_572,
        "districts": 9,
        "sources": [],
    },
    "log": "log-1",
    "metrics": [
        {
            "name": "energy.import",
            "title": "Electricity",
            "definition": "Drawn from the grid",
            "dataset": "energy.readings",
            "unit": "Wh",
            "smallest_unit": "mJ",
            "smallest_per_unit": 3_600_000,
            "base": 100,
            "kind": "sum",
            "contributor": "customer",
            "classes": ["residential"],
            "window": "hour",
            "lateness_seconds": 3600,
            "rule": {"id": "customers-100-15", "words": "Many", "source": "Theirs"},
            "areas": [
                {"number": 1, "name": "A", "population": 10, "valid_from": "2025-01-01T00:00:00Z"},
                {"number": 2, "name": "B", "population": 20, "valid_from": "2025-01-01T00:00:00Z"},
            ],
        }
    ],
}


def publication(sequence: int) -> Json:
    """The nth publication, of the nth hour: a released cell and a suppressed one."""
    return {
        "metric": "energy.import",
        "unit": "mJ",
        "sequence": sequence,
        "revision": 0,
        "window": {"start": f"2025-06-01T{sequence:02}:00:00Z", "end": f"2025-06-01T{sequence + 1:02}:00:00Z"},
        "published_at": "2025-06-02T00:00:00.123Z",
        "cells": [
            {
                "area": 1,
                "class": "residential",
                "status": "released",
                "value": 500,
                "coverage": "high",
                "rule": "customers-100-15",
            },
            {"area": 2, "class": "residential", "status": "suppressed", "rule": "customers-100-15"},
        ],
    }


@dataclass
class Reply:
    """An answer as it is sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class HostilePartner:
    """Two pages of two publications, then empty ones.

    A test may change `catalog`, edit the second page with `page`, queue `replies` by path (each sent once, before any
    other answer), and delay every answer with `hold`. With a `tag`, every answer has it as its ETag, and requests that
    send it back get 304.
    """

    def __init__(self) -> None:
        self.catalog: Json = deepcopy(CATALOG)
        self.page: Edit = lambda page: None
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[str] = []
        self.tag: str | None = None
        self.unchanged: dict[str, int] = {}
        self.hold = threading.Event()
        self.hold.set()

    def answer(self, path: str) -> Reply:
        """The answer to a request for this path and query."""
        self.requests.append(path)
        self.hold.wait(30)
        plain = path.partition("?")[0]
        if self.replies.get(plain):
            return self.replies[plain].pop(0)
        return reply(self.catalog) if plain == "/v1/catalog" else reply(self._page(path))

    def tagged(self, path: str, known: str | None, answer: Reply) -> Reply:
        """The answer with its ETag, or 304."""
        if known == self.tag:
            plain = path.partition("?")[0]
            self.unchanged[plain] = self.unchanged.get(plain, 0) + 1
            return Reply(304, headers={"ETag": known})
        return Reply(answer.status, answer.body, answer.headers | {"ETag": self.tag or ""})

    def _page(self, path: str) -> Any:
        number = {"c1": 2, "c2": 3}.get(path.partition("after=")[2], 1)
        publications = {1: [publication(1), publication(2)], 2: [publication(3), publication(4)]}.get(number, [])
        page = {"city": "hue", "log": self.catalog["log"], "publications": publications, "next": f"c{min(number, 2)}"}
        edited = self.page(page) if number == 2 else None
        return page if edited is None else edited


def reply(content: Any) -> Reply:
    """A reply with this JSON, or these bytes."""
    return Reply(body=content if isinstance(content, bytes) else json.dumps(content).encode())


@contextmanager
def serving_partner(partner: HostilePartner) -> Iterator[str]:
    """The partner on a free port; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = partner.answer(self.path)
            if partner.tag is not None:
                answer = partner.tagged(self.path, self.headers.get("If-None-Match"), answer)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        partner.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
