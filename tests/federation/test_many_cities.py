"""One puller and a hundred cities, of which thirty hang, drip, lie, are down or flood: no other waits for them."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from federation.partners.limits import FetchLimits
from federation.partners.pulling import follow
from store.agreements import InstalledAgreement, MetricGrant
from store.database import connect
from store.partner_standing import partner_standings
from tests.federation.identity.cities import DAY, NOW
from tests.federation.talking import BEGIN, IMPORT, US, agree, pulling
from tests.soak import amount, soak
from tests.waiting import until

pytestmark = pytest.mark.services

HOURS = 3
NOWHERE = "http://127.0.0.1:1"


@contextmanager
def a_hundred(count: int) -> Iterator[dict[str, Any]]:
    """The cities in a process of their own; yields what it says of them."""
    command = [sys.executable, "-m", "tests.federation.many_cities", str(count), str(HOURS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def agreements(told: dict[str, Any]) -> list[InstalledAgreement]:
    """With each city; who is down has an address where nobody listens."""
    grants = (MetricGrant("received", IMPORT.name, BEGIN - DAY, 0, 3660),)
    found = []
    for number, city in enumerate(told["cities"]):
        address = NOWHERE if city["manner"] == "down" else f"http://127.0.0.1:{told['port']}/{city['city']}"
        found.append(
            InstalledAgreement(
                *(f"{number:022}", 1, US.thumbprint, city["thumbprint"], city["city"], b"", "", (address,)),
                *(NOW - 300 * DAY, NOW + 60 * DAY, False, 600, 2**30, 4, grants),
            )
        )
    return found


@contextmanager
def following(database_url: str, limits: FetchLimits, period_s: float) -> Iterator[None]:
    """Follow in a thread, by the real clock's passing from a fixed time on, until the context ends."""
    loop, stop, begun = asyncio.new_event_loop(), asyncio.Event(), time.monotonic()
    given = replace(pulling(database_url, limits), now_ms=lambda: NOW + round((time.monotonic() - begun) * 1000))
    thread = threading.Thread(target=loop.run_until_complete, args=(follow(given, stop, poll_s=period_s),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        assert not thread.is_alive()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@soak
def test_good_cities_are_fresh_whatever_the_others_do(database_url: str) -> None:
    count = amount(20, soak=100)
    limits = FetchLimits(attempts=1, deadline_s=5, silence_s=5)
    with a_hundred(count) as told:
        agree(database_url, *agreements(told))
        manners = {city["city"]: city["manner"] for city in told["cities"]}
        good = {city for city, kind in manners.items() if kind == "good"}
        assert len(good) == count * 7 // 10

        def standings() -> dict[str, str]:
            with connect(database_url) as connection:
                return {each.city: each.standing for each in partner_standings(connection, NOW)}

        with following(database_url, limits, period_s=10):
            until(lambda: all(standings()[city] == "fresh" for city in good), "the good cities are fresh")
            until(lambda: Counter(standings().values())["refused"] >= count // 20, "who lies is refused")
        found = standings()
        assert not [city for city, kind in manners.items() if kind != "good" and found[city] == "fresh"]
    with connect(database_url) as connection:
        counted = connection.execute(
            "SELECT city, count(*) FROM partner_publications GROUP BY city ORDER BY city"
        ).fetchall()
    assert dict(counted) == dict.fromkeys(good, HOURS)
