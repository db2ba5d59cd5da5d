"""What one process serves to partners: a signed city-day, page by page, as requests and megabytes a second.

In one run, in turns, with the same client over as many connections, each that of a partner with an agreement and a
token of its own:

* `stored`: `GET /v1/bodies` of the partner API, a page for each metric, with token, limits, agreement and audit;
* `unchanged`: the same with `If-None-Match`: a 304, with token, limits, agreement and audit;
* `bare`: the same bytes from memory, from a bare Starlette route behind the same server;
* `signed`: the bare route with a signature of each answer (RFC 9421, Ed25519; needs `http-message-signatures`, which is
  not installed with this project: `.venv/bin/pip install http-message-signatures`).

The server is a process of its own; the client reads answers without looking at them. After each round, every page is
asked for once more, and compared with what was stored.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.exchange.app import create_partner_api
from api.serving import BoundedServer, Listening
from benchmarks.result import Measuring, ResultTable
from benchmarks.signed_answers import signer
from benchmarks.timed import own_services
from federation.city import CityFacts
from federation.publications.entries import body_bytes
from schemas.catalogue import published
from store.access import token_hash
from store.database import Connection, connect, create_database
from store.migrations import migrate
from store.moments import moment
from store.partner_role import partner_login
from store.publications import Header, PublishedCell, Window

HOURS = 24
HOUR_MS = 3_600_000
START_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS - 30 * 24 * HOUR_MS
CITY = CityFacts("bench", "Bench", {}, "IR", "UTC", 1_000_000, (), 15)
ANSWERED = (b"HTTP/1.1 200", b"HTTP/1.1 304")


@dataclass(frozen=True, slots=True)
class ServedRound:
    """Of one round; processor time of the server's process, and of PostgreSQL's, for each request."""

    requests_per_second: float
    megabytes_per_second: float
    processor_ms: float
    postgres_ms: float


def city_day(connection: Connection, areas: int) -> dict[str, bytes]:
    """Publish a day of every metric, and return the page of each. Every cell is released."""
    pages, position = {}, 0
    for name, metric in published().items():
        lines = []
        for hour in range(HOURS):
            position += 1
            window = Window(START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS)
            header = Header(position, name, hour + 1, window, 0, window.end)
            cells = [
                PublishedCell(area, class_, (area + 1) * 1234 * metric.base, "high", metric.rule)
                for area in range(areas)
                for class_ in metric.classes
            ]
            body = body_bytes(header, metric.smallest_unit, cells, "0" * 32)
            connection.execute(
                "INSERT INTO publications (position, metric, sequence, window_start, window_end, revision, topic,"
                " published_at, left_at, kind, whole, entry, body, body_hash)"
                " VALUES (%s, %s, %s, %s, %s, 0, 'bench', %s, %s, 'publication', true, %s, %s, %s)",
                (
                    *(position, name, hour + 1, moment(window.start), moment(window.end)),
                    *(moment(window.end), moment(window.end), b"{}", body, sha256(body).hexdigest()),
                ),
            )
            lines.append(body)
        pages[name] = b"".join(line + b"\n" for line in lines)
    connection.execute("UPDATE publication_log SET position = %s", (position,))
    return pages


def agree(connection: Connection, partner: int) -> None:
    """An agreement on every metric, without limits that the benchmark would reach, and its token."""
    name = f"benchmark-{partner}"
    connection.execute(
        "INSERT INTO agreements (id, version, own, partner, city, document, hash, addresses, valid_from, valid_until,"
        " witness, requests_per_minute, bytes_per_hour, concurrent_requests)"
        " VALUES (%s, 1, 'us', %s, %s, '', '', '{}', now() - interval '1 day', now() + interval '1 day', true,"
        " 1000000000, 1000000000000000, 1000)",
        (name, f"key-{partner}", f"city-{partner}"),
    )
    for metric in published():
        connection.execute(
            "INSERT INTO grants VALUES (%s, 1, 'given', %s, %s, %s, 3660)", (name, metric, moment(0), timedelta(0))
        )
    connection.execute(
        "INSERT INTO access_tokens (hash, agreement, expires_at) VALUES (%s, %s, now() + interval '1 day')",
        (token_hash(token(partner)), name),
    )


def token(partner: int) -> str:
    """The token of a partner."""
    return f"token-{partner}"


def bare(pages: dict[str, bytes], sign: Callable[[bytes], dict[str, str]] | None = None) -> Starlette:
    """The pages from memory, each answer signed if there is a way to."""

    async def bodies(request: Request) -> Response:
        content = pages[request.query_params["metric"]]
        return Response(content, headers=None if sign is None else sign(content), media_type="application/jsonl")

    return Starlette(routes=[Route("/v1/bodies", bodies)])


def _serve(what: str, url: str, pages: dict[str, bytes], listening: socket.socket) -> None:
    app: Any = (
        create_partner_api(CITY, url) if what == "stored" else bare(pages, signer() if what == "signed" else None)
    )
    BoundedServer(app, Listening("127.0.0.1", 0), log_level="error").run([listening])


class _Asking(asyncio.Protocol):
    """Asks on one connection, one request after the other, until the time is over. Only the heads are read."""

    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self._requests = requests
        self._until = until
        self._head = b""
        self._left = 0
        self.count = self.received = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            head, ended, rest = self._head.partition(b"\r\n\r\n")
            if not ended:
                return
            if not head.startswith(ANSWERED):
                self._end(SystemExit(f"the server answered {head!r}"))
                return
            length = _content_length(head)
            self._head, self._left = b"", length - len(rest)
            self.received += length
        if not self._left:
            self.count += 1
            if time.perf_counter() < self._until:
                self._transport.write(next(self._requests))
            else:
                self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(SystemExit(f"the server ended a connection: {error}"))

    def _end(self, error: BaseException | None = None) -> None:
        if not self.done.done():
            self.done.set_result(None) if error is None else self.done.set_exception(error)
        self._transport.close()


def _content_length(head: bytes) -> int:
    named = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((int(value) for name, _, value in named if name == b"content-length"), 0)


def _processor_s(processes: Sequence[psutil.Process]) -> dict[int, float]:
    """Seconds of processor time by process id, without those that have ended, as workers of PostgreSQL do."""
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = float(times.user + times.system)
    return found


def _spent_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(after[pid] - before[pid] for pid in after.keys() & before.keys())


def measured(
    port: int,
    server: psutil.Process,
    postgres: psutil.Process,
    requests: Sequence[Sequence[bytes]],
    seconds: float,
) -> ServedRound:
    """Ask a server for so long, over a connection for each of these lists of requests."""

    async def run() -> list[_Asking]:
        until, loop = time.perf_counter() + seconds, asyncio.get_running_loop()
        asking = []
        for index, each in enumerate(requests):
            turned = cycle([*each[index % len(each) :], *each[: index % len(each)]])
            _, made = await loop.create_connection(partial(_Asking, turned, until), "127.0.0.1", port)
            asking.append(made)
        await asyncio.gather(*(each.done for each in asking))
        return asking

    databases = postgres.children()
    began, used, below = time.perf_counter(), _processor_s([server]), _processor_s(databases)
    asking = asyncio.run(run())
    spent = time.perf_counter() - began
    count, received = sum(each.count for each in asking), sum(each.received for each in asking)
    return ServedRound(
        *(count / spent, received / spent / 1e6),
        processor_ms=1000 * _spent_s(used, _processor_s([server])) / count,
        postgres_ms=1000 * _spent_s(below, _processor_s(databases)) / count,
    )


def request(metric: str, *headers: str) -> bytes:
    """The request for the page of a metric."""
    lines = [f"GET /v1/bodies?metric={metric}&limit=1000 HTTP/1.1", "Host: bench", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


class Servers:
    """A process for each server; `port` and `process` by its name."""

    def __init__(self, url: str, pages: dict[str, bytes], names: Sequence[str]) -> None:
        self.port: dict[str, int] = {}
        self.process: dict[str, psutil.Process] = {}
        self._processes = []
        for name in names:
            listening = socket.create_server(("127.0.0.1", 0))
            self.port[name] = listening.getsockname()[1]
            process = multiprocessing.get_context("fork").Process(target=_serve, args=(name, url, pages, listening))
            process.start()
            self.process[name] = psutil.Process(process.pid)
            listening.close()
            self._processes.append(process)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.join()


def answered(port: int, asked: bytes) -> tuple[bytes, bytes]:
    """Head and content of the answer to one request, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answer:
        connection.sendall(asked)
        head = b"".join(iter(answer.readline, b"\r\n"))
        return head, answer.read(_content_length(head))


def tag(head: bytes) -> str:
    """The ETag of an answer."""
    [line] = [line for line in head.decode("latin-1").split("\r\n") if line.lower().startswith("etag:")]
    return line.partition(":")[2].strip()


def run(url: str, areas: int, connections: Sequence[int], seconds: float, rounds: int) -> list[dict[str, object]]:
    """All figures of a city of so many areas: a row for each of what is asked, over so many connections."""
    with connect(url) as connection:
        pages = city_day(connection, areas)
        for partner in range(max(connections)):
            agree(connection, partner)
        connection.execute("ANALYZE")
        role_url = partner_login(connection, url)
        postgres = psutil.Process(connection.info.backend_pid).parent()
    assert postgres is not None
    names = ["stored", "bare", *(["signed"] if signer() else [])]
    servers = Servers(role_url, pages, names)
    try:
        held = {m: tag(answered(servers.port["stored"], request(m, _authorization(0)))[0]) for m in pages}
        rows = []
        for count in connections:
            taken = _in_turns(servers, postgres, pages, held, count, seconds, rounds)
            rows += _rows({"areas": areas, "bytes a page": _mean_size(pages), "connections": count}, taken)
        return rows
    finally:
        servers.stop()


def _in_turns(
    servers: "Servers",
    postgres: psutil.Process,
    pages: Mapping[str, bytes],
    held: Mapping[str, str],
    connections: int,
    seconds: float,
    rounds: int,
) -> dict[str, list[ServedRound]]:
    def asked(partner: int) -> list[bytes]:
        return [request(metric, _authorization(partner)) for metric in pages]

    def known(partner: int) -> list[bytes]:
        return [request(metric, _authorization(partner), f"If-None-Match: {held[metric]}") for metric in pages]

    plans = {name: (name, asked) for name in servers.port} | {"unchanged": ("stored", known)}
    for partner in range(connections):  # tokens that a server has not seen wait in a queue of their own
        answered(servers.port["stored"], known(partner)[0])
    taken: dict[str, list[ServedRound]] = {name: [] for name in plans}
    for number in range(rounds + 1):
        for name, (server, texts) in plans.items():
            port, process = servers.port[server], servers.process[server]
            figures = measured(port, process, postgres, [texts(partner) for partner in range(connections)], seconds)
            for metric, text in zip(pages, texts(connections - 1), strict=True):
                head, content = answered(port, text)
                if content != pages[metric] if name != "unchanged" else b" 304 " not in head:
                    raise SystemExit(f"{name} answered {head!r} for {metric}")
            if number:
                taken[name].append(figures)
    return taken


def _rows(page: Mapping[str, object], taken: Mapping[str, Sequence[ServedRound]]) -> list[dict[str, object]]:
    of_bare: dict[str, object] = dict.fromkeys(taken, "")
    for name in taken.keys() & {"stored", "signed"}:
        of_bare[name] = round(100 * statistics.median(map(_ratio, taken[name], taken["bare"])))
    return [{**page, "asked": name, **_medians(each), "of bare, %": of_bare[name]} for name, each in taken.items()]


def _authorization(partner: int) -> str:
    return f"Authorization: Bearer {token(partner)}"


def _mean_size(pages: Mapping[str, bytes]) -> int:
    return sum(map(len, pages.values())) // len(pages)


def _medians(rounds: Sequence[ServedRound]) -> dict[str, float]:
    return {
        field.name: round(statistics.median(getattr(each, field.name) for each in rounds), 2)
        for field in fields(ServedRound)
    }


def _ratio(served: ServedRound, bare: ServedRound) -> float:
    return served.requests_per_second / bare.requests_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--areas", type=int, nargs="*", default=[15, 168, 600])
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 32, 100])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    settings = {"seconds": given.seconds, "rounds": given.rounds}
    measuring = Measuring("serve", "The partners' API", "request", settings, seed=None)
    rows: list[dict[str, object]] = []
    with own_services(given.installed) as services:
        for areas in given.areas:
            url = create_database(services.database_url, f"bench_{areas}")
            migrate(url)
            rows += run(url, areas, given.connections, given.seconds, given.rounds)
    measuring.tables.append(ResultTable.of("A city-day, a page for each metric", rows))
    measuring.write(given.output, ["uvicorn", "fastapi", "starlette", "psycopg"])


if __name__ == "__main__":
    main()
