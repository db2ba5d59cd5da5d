"""A puller in a process of its own, over a database whose agreements are installed.

Run as a program with the URL of the database and the period in seconds, it reads our access key, a JWK, from the first
line of standard input, and writes its memory in bytes. It follows every agreement until standard input ends, and then
writes the most memory that it has had.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

from joserfc.jwk import OKPKey

from federation.partners.limits import FetchLimits
from federation.partners.pulling import follow
from tests.federation.identity.cities import NOW
from tests.federation.talking import pulling
from tests.soak import amount

LIMITS = FetchLimits(attempts=1, deadline_s=amount(5, soak=20), silence_s=5)


def memory() -> int:
    """The most bytes that this process has had since it began: `ru_maxrss` would count its parent's too."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def until_the_end_of_input(database_url: str, period_s: float, key: OKPKey) -> None:
    """Follow by the real clock's passing, from the fixed time on that tests sign for."""
    stop, begun = asyncio.Event(), time.monotonic()
    given = replace(
        pulling(database_url, LIMITS), keys=[key], now_ms=lambda: NOW + round((time.monotonic() - begun) * 1000)
    )
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    await follow(given, stop, poll_s=period_s)


def main() -> None:
    """Follow until standard input ends."""
    key = OKPKey.import_key(json.loads(sys.stdin.readline()))
    print(memory(), flush=True)
    asyncio.run(until_the_end_of_input(sys.argv[1], float(sys.argv[2]), key))
    print(memory(), flush=True)


if __name__ == "__main__":
    main()
