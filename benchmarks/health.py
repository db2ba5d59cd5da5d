"""How long `/healthz` of the partner API takes while slow clients hold connections open.

The clients, in a process of their own, send a request's head one byte a second and connect again when the server ends
them (slowloris). Meanwhile `/healthz` is asked on a new connection each time, as a container's health check and a load
balancer do: from connecting to the end of the answer. First without slow clients, then with them.
"""

import argparse
import asyncio
import multiprocessing
import socket
import time
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles
from typing import Any

from api.serving import allow_connections
from benchmarks.result import Measuring, ResultTable
from benchmarks.serve import Servers
from benchmarks.timed import own_services
from store.database import connect, create_database
from store.migrations import migrate
from store.partner_role import partner_login

_HEAD = b"GET /v1/head HTTP/1.1\r\nHost: bench\r\nX-Slow: "
_BETWEEN_BYTES_S = 1.0
_BETWEEN_QUESTIONS_S = 0.01


async def _slow(port: int, begun: asyncio.Event) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_HEAD)
            await writer.drain()
            begun.set()
            while not writer.is_closing():
                await asyncio.sleep(_BETWEEN_BYTES_S)
                writer.write(b"x")
                await writer.drain()
            writer.close()


def hold(port: int, connections: int, all_there: Event) -> None:
    """Keep so many slow connections, for ever; `all_there` is set once each has been made."""
    allow_connections(connections)

    async def run() -> None:
        begun = [asyncio.Event() for _ in range(connections)]
        kept = [asyncio.create_task(_slow(port, event)) for event in begun]
        for event in begun:
            await event.wait()
        all_there.set()
        await asyncio.gather(*kept)

    asyncio.run(run())


def ask(port: int, times: int) -> dict[str, float | int]:
    """Percentiles of the time of an answer, in ms; `well`: how many said 200. Ends where one is neither 200 nor 503."""
    well = 0
    spent: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        spent.append(1000 * (time.perf_counter() - began))
        status = answer[9:12]
        if status not in {b"200", b"503"}:
            raise SystemExit(f"/healthz answered {answer[:200]!r}")
        well += status == b"200"
        time.sleep(_BETWEEN_QUESTIONS_S)
    cuts = quantiles(spent, n=100, method="inclusive")
    return {
        "answers": times,
        "well": well,
        **{name: round(ms, 1) for name, ms in (("p50_ms", cuts[49]), ("p99_ms", cuts[98]), ("max_ms", max(spent)))},
    }


def run(url: str, connections: int, times: int) -> list[dict[str, Any]]:
    """The figures without slow connections and with them."""
    with connect(url) as connection:
        servers = Servers(partner_login(connection, url), {}, ["stored"])
    forking = multiprocessing.get_context("fork")
    all_there = forking.Event()
    port = servers.port["stored"]
    slow = forking.Process(target=hold, args=(port, connections, all_there), daemon=True)
    try:
        ask(port, 50)  # the server starts, and finds its database
        figures = [{"slow_connections": 0} | ask(port, times)]
        slow.start()
        if not all_there.wait(60):
            raise SystemExit(f"{connections} connections were not made within a minute")
        return [*figures, {"slow_connections": connections} | ask(port, times)]
    finally:
        if slow.pid is not None:
            slow.terminate()
            slow.join()
        servers.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installed", type=Path, default=Path(".sistercity"))
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    settings = {"slow_connections": given.connections, "answers": given.times}
    measuring = Measuring("health", "/healthz beside slow clients", "answer", settings, seed=None)
    with own_services(given.installed) as services:
        url = create_database(services.database_url, "bench_health")
        migrate(url)
        figures = run(url, given.connections, given.times)
    measuring.tables.append(ResultTable.of("Time to an answer on a new connection", figures))
    measuring.write(given.output)


if __name__ == "__main__":
    main()
