"""Waiting for a store that does not answer, as a member that stays in its group and reads no more (decision 0016)."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from eventlog.protocol import Reader
from store.processing import Store, StoreUnavailable

logger = logging.getLogger(__name__)

_POLL_MS = 250


def wait_for_store(
    store: Store,
    reader: Reader,
    error: StoreUnavailable,
    settle: Callable[[], None],
    backoff_s: Sequence[float],
    stop: Event,
) -> bool:
    """Poll, with all partitions paused, until the store answers and `settle` has done its work there.

    `error` says why it is away; `backoff_s` are the pauses between attempts, the last of them repeated. False if `stop`
    was set before. All partitions are paused in the end. Raises what `settle` and the reader raise.
    """
    failures = 0
    while not stop.is_set():
        for partition in reader.assignment():
            reader.pause(partition)
        pause_s = backoff_s[min(failures, len(backoff_s) - 1)]
        logger.warning("%s; partitions and what was read are kept, trying again in %.1f s", error, pause_s)
        try:
            _connect(store, pause_s, stop, lambda: _stay(reader))
            settle()
        except StoreUnavailable as again:
            error, failures = again, failures + 1
        else:
            logger.info("the store answers again")
            return True
    return False


def _connect(store: Store, pause_s: float, stop: Event, meanwhile: Callable[[], None]) -> None:
    """Pause and connect in another thread: this one has to poll (R15), with `meanwhile`."""

    def connect() -> None:
        stop.wait(pause_s)
        store.connect()

    with ThreadPoolExecutor(1) as beside:
        attempt = beside.submit(connect)
        while not attempt.done():
            meanwhile()
    attempt.result()


def _stay(reader: Reader) -> None:
    """Poll to stay in the group; what comes all the same is read again later."""
    for partition, records in reader.poll(_POLL_MS).items():
        reader.seek(partition, records[0].offset)
