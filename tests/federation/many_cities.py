"""A hundred cities in a process of their own, on real sockets: some hang, drip, lie, are down or flood.

Who floods does so where most is taken: in place of bodies.

Run as a program, it serves them and writes what a puller needs to standard output: the port, and each city's name,
thumbprint and manner. It ends with its standard input.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import uvicorn

from tests.federation.talking import TalkingCity, exchange

Manner = Literal["good", "hangs", "drips", "lies", "down", "floods"]

_DRIP_S = 0.5
_FLOOD = b"0" * 65_536


def manner(number: int, count: int) -> Manner:
    """How the city of this number behaves: of a hundred, 10 hang, 5 drip, 5 lie, 5 are down, 5 flood."""
    share = number * 100 // count
    kinds: list[tuple[int, Manner]] = [(10, "hangs"), (15, "drips"), (20, "lies"), (25, "down"), (30, "floods")]
    return next((kind for limit, kind in kinds if share < limit), "good")


def cities(count: int, hours: int) -> dict[str, TalkingCity]:
    """The cities, each with its first hours."""
    made = {}
    for number in range(count):
        city = TalkingCity(f"city-{number}")
        city.tags = True
        city.say(*range(hours))
        if manner(number, count) == "lies":
            city.publish(hours, value=1, edit=lambda body: body["cells"][0].update(value="1"))
            city.sign()
        made[city.city] = city
    return made


async def badly(kind: Manner, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer a request as no city should: never, a byte at a time, or without end; until the client has had enough."""
    gone = asyncio.create_task(_gone(receive))
    if kind != "hangs":
        headers = [(b"content-type", b"application/jsonl" if kind == "floods" else b"application/jose")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
    while not gone.done():
        if kind == "floods":
            await send({"type": "http.response.body", "body": _FLOOD, "more_body": True})
            await asyncio.sleep(0)
        else:
            if kind == "drips":
                await send({"type": "http.response.body", "body": b"0", "more_body": True})
            await asyncio.wait([gone], timeout=_DRIP_S)


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Serve until standard input ends."""
    count, hours = int(sys.argv[1]), int(sys.argv[2])
    served = cities(count, hours)
    manners = {city: manner(number, count) for number, city in enumerate(served)}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kind = manners[scope["path"][1:].partition("/")[0]]
        if kind in ("good", "lies", "down") or (kind == "floods" and not scope["path"].endswith("/v1/bodies")):
            await exchange(served, scope, receive, send)
        else:
            await badly(kind, receive, send)

    quiet: dict[str, Any] = {"log_level": "error", "lifespan": "off", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **quiet))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    told = [
        {"city": name, "thumbprint": city.keys.thumbprint, "manner": manners[name]} for name, city in served.items()
    ]
    port = server.servers[0].sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"port": port, "cities": told}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
