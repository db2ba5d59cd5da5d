"""What one process serves to partners: a signed city-day, page by page, as requests and megabytes a second.

In one run, in turns, with the same client over as many connections:

* `stored`: `GET /v1/bodies` of the partner API, a page for each metric, with token, limits, agreement and audit;
* `unchanged`: the same with `If-None-Match`: a 304, with token, limits, agreement and audit;
* `bare`: the same bytes from memory, from a bare Starlette route behind the same server;
* `signed`: the bare route with a signature of each answer (RFC 9421, Ed25519; needs `http-message-signatures`, which is
  not installed with this project: `.venv/bin/pip install http-message-signatures`).

The server is a process of its own; the client reads answers without looking at them. After each round the pages are
compared with what was stored.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from hashlib import sha256
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
AGREEMENT = "benchmark"
TOKEN = "token-of-the-benchmark"
CITY = CityFacts("bench", "Bench", {}, "IR", "UTC", 1_000_000, (), 15)
CONNECTIONS = 4
COVERED = ("@status", "content-digest", "content-type")


@dataclass(frozen=True, slots=True)
class ServedRound:
    """Of one round; `processor_ms` of the server's process, for each request."""

    requests_per_second: float
    megabytes_per_second: float
    processor_ms: float


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


def agree(connection: Connection) -> None:
    """An agreement on every metric, without limits that the benchmark would reach, and its token."""
    connection.execute(
        "INSERT INTO agreements (id, version, own, partner, city, document, hash, addresses, valid_from, valid_until,"
        " witness, requests_per_minute, bytes_per_hour, concurrent_requests)"
        " VALUES (%s, 1, 'us', 'them', 'them', '', '', '{}', now() - interval '1 day', now() + interval '1 day', true,"
        " 1000000000, 1000000000000000, 1000)",
        (AGREEMENT,),
    )
    for name in published():
        connection.execute(
            "INSERT INTO grants VALUES (%s, 1, 'given', %s, %s, %s, 3660)", (AGREEMENT, name, moment(0), timedelta(0))
        )
    connection.execute(
        "INSERT INTO access_tokens (hash, agreement, expires_at) VALUES (%s, %s, now() + interval '1 day')",
        (token_hash(TOKEN), AGREEMENT),
    )


def bare(pages: dict[str, bytes], sign: Callable[[bytes], dict[str, str]] | None = None) -> Starlette:
    """The pages from memory, each answer signed if there is a way to."""

    async def bodies(request: Request) -> Response:
        content = pages[request.query_params["metric"]]
        return Response(content, headers=None if sign is None else sign(content), media_type="application/jsonl")

    return Starlette(routes=[Route("/v1/bodies", bodies)])


def signer() -> Callable[[bytes], dict[str, str]] | None:
    """Signs an answer as RFC 9421 says, its digest (RFC 9530) among what is covered; None without the library."""
    try:
        from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms  # noqa: PLC0415
    except ImportError:
        return None
    from base64 import b64encode  # noqa: PLC0415

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()

    class _Keys(HTTPSignatureKeyResolver):  # type: ignore[misc]
        def resolve_private_key(self, key_id: str) -> Any:
            return key

    signing = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Keys())

    @dataclass
    class Message:
        status_code: int
        headers: dict[str, str]

    def sign(content: bytes) -> dict[str, str]:
        digest = b64encode(sha256(content).digest()).decode()
        message = Message(200, {"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/jsonl"})
        signing.sign(message, key_id="bench", covered_component_ids=COVERED, use_existing_digest=True)
        return message.headers

    return sign


def _serve(what: str, url: str, pages: dict[str, bytes], listening: socket.socket) -> None:
    app: Any = (
        create_partner_api(CITY, url) if what == "stored" else bare(pages, signer() if what == "signed" else None)
    )
    BoundedServer(app, Listening("127.0.0.1", 0), log_level="error").run([listening])


async def _asks(port: int, requests: Sequence[bytes], until: float, found: dict[bytes, bytes]) -> tuple[int, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    count = received = 0
    while count < len(requests) or time.perf_counter() < until:
        request = requests[count % len(requests)]
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        named = (line.partition(b":") for line in head.lower().split(b"\r\n"))
        length = next((int(value) for name, _, value in named if name == b"content-length"), 0)
        content = await reader.readexactly(length) if length else b""
        found[request] = content or head
        count, received = count + 1, received + len(content)
    writer.close()
    return count, received


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measured(
    port: int, process: psutil.Process, requests: Sequence[bytes], seconds: float
) -> tuple[ServedRound, dict[bytes, bytes]]:
    """Ask the server of this process over several connections for so long; also the last answer to each request."""
    found: dict[bytes, bytes] = {}

    async def run() -> list[tuple[int, int]]:
        until = time.perf_counter() + seconds
        turned = [[*requests[index:], *requests[:index]] for index in range(CONNECTIONS)]
        return await asyncio.gather(*(_asks(port, ordered, until, found) for ordered in turned))

    began, used = time.perf_counter(), _processor_s(process)
    totals = asyncio.run(run())
    spent, used = time.perf_counter() - began, _processor_s(process) - used
    count, received = (sum(numbers) for numbers in zip(*totals, strict=True))
    return ServedRound(count / spent, received / spent / 1e6, 1000 * used / count), found


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


def tags(port: int, asked: dict[str, bytes]) -> dict[str, str]:
    """The ETag of each page."""
    found = {}
    for name, text in asked.items():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(text)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
        [line] = [line for line in head.decode("latin-1").split("\r\n") if line.lower().startswith("etag:")]
        found[name] = line.partition(":")[2].strip()
    return found


def run(url: str, areas: int, seconds: float, rounds: int) -> list[dict[str, object]]:
    """All figures of a city of so many areas: a row for each of what is asked."""
    with connect(url) as connection:
        pages = city_day(connection, areas)
        agree(connection)
        role_url = partner_login(connection, url)
    names = ["stored", "bare", *(["signed"] if signer() else [])]
    servers = Servers(role_url, pages, names)
    try:
        token = f"Authorization: Bearer {TOKEN}"
        asked = {metric: request(metric, token) for metric in pages}
        held = tags(servers.port["stored"], asked)
        known = {metric: request(metric, token, f"If-None-Match: {held[metric]}") for metric in pages}
        plans = {name: (name, asked) for name in names} | {"unchanged": ("stored", known)}
        taken: dict[str, list[ServedRound]] = {name: [] for name in plans}
        for number in range(rounds + 1):
            for name, (server, texts) in plans.items():
                port, process = servers.port[server], servers.process[server]
                figures, found = measured(port, process, list(texts.values()), seconds)
                for metric, text in texts.items():
                    wrong = found[text] != pages[metric] if name != "unchanged" else b" 304 " not in found[text]
                    if wrong:
                        raise SystemExit(f"{name} answered {found[text][:200]!r} for {metric}")
                if number:
                    taken[name].append(figures)
    finally:
        servers.stop()
    page = {"areas": areas, "bytes a page": sum(map(len, pages.values())) // len(pages)}
    of_bare = {"of bare, %": round(100 * statistics.median(map(_ratio, taken["stored"], taken["bare"])))}
    unrelated = {"of bare, %": ""}
    return [
        {**page, "asked": name, **_medians(each), **(of_bare if name == "stored" else unrelated)}
        for name, each in taken.items()
    ]


def _medians(rounds: Sequence[ServedRound]) -> dict[str, float]:
    return {
        field.name: round(statistics.median(getattr(each, field.name) for each in rounds), 2)
        for field in fields(ServedRound)
    }


def _ratio(stored: ServedRound, bare: ServedRound) -> float:
    return stored.requests_per_second / bare.requests_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--areas", type=int, nargs="*", default=[15, 600])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    settings = {"connections": CONNECTIONS, "seconds": given.seconds, "rounds": given.rounds}
    measuring = Measuring("serve", "The partners' API", "request", settings, seed=None)
    rows: list[dict[str, object]] = []
    with own_services(given.installed) as services:
        for areas in given.areas:
            url = create_database(services.database_url, f"bench_{areas}")
            migrate(url)
            rows += run(url, areas, given.seconds, given.rounds)
    measuring.tables.append(ResultTable.of("A city-day, a page for each metric", rows))
    measuring.write(given.output, ["uvicorn", "fastapi", "starlette", "psycopg"])


if __name__ == "__main__":
    main()
