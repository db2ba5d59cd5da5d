"""Cameras of every behaviour at once, over real sockets into one feed: pictures, missing pictures, and log lines."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from time import monotonic, time

import cv2
import numpy as np
import pytest

from ingest.cameras.live.addresses import Address
from ingest.cameras.live.protocol import Arrival, CameraLimits
from ingest.cameras.live.running import LiveCounts, run_cameras
from schemas.batch import REGION
from schemas.frames import Frame
from tests.ingest.cameras.live.servers import Asked, camera_server, jpeg
from tests.ingest.cameras.logs import Sending, register, said, sending
from tests.ports import free_port
from tests.waiting import until

SECRET = "geheim-4711"
LIMITS = CameraLimits(silence_s=2.0, picture_s=2.0, backoff_s=0.02, backoff_cap_s=0.1)


def now_ms() -> int:
    return round(time() * 1000)


@contextmanager
def running(made: Sending, addresses: Sequence[Address], limits: CameraLimits = LIMITS) -> Iterator[list[LiveCounts]]:
    """Cameras that run as long as the block; what was left out is in the list at the end."""
    stop, counts = threading.Event(), []
    thread = threading.Thread(
        target=lambda: counts.append(run_cameras(made.feed, addresses, now_ms, stop, limits)), daemon=True
    )
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def address(number: int, source: str, url: str, rate: float = 20.0) -> Address:
    return Address(number, source, f"{url}/{SECRET}", rate, "rtsp" if url.startswith("rtsp") else None)


def streaming(asked: Asked, pause_s: float = 0.02, most: int = 10**6) -> None:
    """Pictures that all differ, until the server ends or so many were sent."""
    asked.stream()
    for number in range(most):
        asked.part(jpeg(number))
        if asked.server.closing.wait(pause_s):
            return


def pictures_of(made: Sending, camera: int) -> list[Frame]:
    return [frame for frame in made.frames() if frame.camera == camera]


def test_no_camera_affects_the_pictures_of_another(caplog):
    frozen = jpeg(0)
    with ExitStack() as servers:
        urls = [
            servers.enter_context(camera_server(script)).url
            for script in (
                streaming,
                lambda asked: asked.answer("image/jpeg", frozen),
                lambda asked: asked.hang(),
                lambda asked: asked.answer("text/html", b"<html>"),
            )
        ]
        urls += [f"http://127.0.0.1:{free_port()}", f"rtsp://127.0.0.1:{free_port()}", urls[0]]
        made = sending(register(*"abcdef"))
        addresses = [address(place + 1, "abcdef?"[place], url) for place, url in enumerate(urls)]
        begin = now_ms()
        with running(made, addresses) as counts:
            until(lambda: made.feed.counts.pictures > 120 and made.feed.counts.refused > 12, "pictures of all cameras")
    end = now_ms()
    assert made.feed.counts.pictures == made.journal.acknowledged_readings
    for place in range(6):
        frames = pictures_of(made, 70 + place)
        assert {frame.interval for frame in frames} == {50}
        starts = [frame.start for frame in frames]
        assert len(starts) > 12
        assert abs(len(starts) - 1 - (starts[-1] - starts[0]) / 50) <= 2
        assert starts == sorted(set(starts))
        assert begin <= starts[0]
        assert starts[-1] <= end
        given = {frame.picture for frame in frames} - {b""}
        assert len(given) > 6 if place == 0 else given == ({frozen} if place == 1 else set())
    assert counts[0].extra > 0
    [kept] = {refused.original.split(b",")[0] for refused in made.journal.kept.values()}
    assert kept == b"?"
    assert SECRET not in caplog.text


def test_with_a_detector_no_picture_is_sent():
    made = sending(register("a"), lambda picture: np.zeros(2, REGION))
    with camera_server(streaming) as server, running(made, [address(1, "a", server.url)]):
        until(lambda: made.detection.seen > 10, "pictures were looked at")
    assert made.detection.regions == 2 * made.detection.seen
    everything = said(made.records())
    assert len(made.records()) >= made.detection.seen
    assert b"\xff\xd8\xff" not in everything


def test_no_tick_goes_ahead_of_the_clock_and_every_partition_has_them(monkeypatch):
    monkeypatch.setattr("ingest.cameras.live.running.TICK_MS", 50)
    made = sending(register("a"))
    begin = now_ms()
    with camera_server(streaming) as server, running(made, [address(1, "a", server.url)]):
        until(lambda: made.feed.counts.pictures > 20, "pictures came")
    for times in made.ticks().values():
        assert len(times) > 3
        assert times == sorted(times)
        assert begin <= times[0] <= times[-1] <= now_ms()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_a_change_is_logged_once_and_without_the_address(caplog):
    caplog.set_level(logging.INFO, "ingest")
    broken = threading.Event()

    def script(asked: Asked) -> None:
        if broken.is_set():
            asked.answer("text/html", SECRET.encode(), 503)
        else:
            streaming(asked, most=5)

    made = sending(register("a"))
    with camera_server(script) as server, running(made, [address(1, "a", server.url)]):
        where = f"camera 1 (127.0.0.1:{server.server_address[1]})"
        until(lambda: made.feed.counts.pictures > 5, "pictures came")
        broken.set()
        asked = len(server.requests)
        until(lambda: len(server.requests) > asked + 5, "it is tried again and again")
        broken.clear()
        asked = len(server.requests)
        until(lambda: len(server.requests) > asked + 2, "pictures come again")
    messages = lines(caplog)
    assert messages[0] == f"INFO {where}: pictures come"
    changes = [line.removeprefix(f"WARNING {where}: ") for line in messages[1:]]
    again = "pictures come"
    away = {
        f"{reason}; trying again until pictures come"
        for reason in ("the stream ended", "it gives no picture (status 503)")
    }
    assert changes[0] in away
    assert again in changes
    assert all((change in away) == (place % 2 == 0) for place, change in enumerate(changes))
    assert set(changes) <= away | {again}


def test_answers_that_are_no_pictures_are_counted_as_unusable(caplog):
    png = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    bomb = png[:16] + (20_000).to_bytes(4, "big") * 2 + png[24:]

    def script(asked: Asked) -> None:
        asked.stream()
        while not asked.server.closing.wait(0.02):
            asked.part(bomb)

    made, limits = sending(register("a")), CameraLimits(picture_s=0.1, backoff_s=0.02, backoff_cap_s=0.1)
    with camera_server(script) as server, running(made, [address(1, "a", server.url)], limits) as counts:
        until(lambda: len(server.requests) > 2, "it is tried again")
    assert lines(caplog) == [
        f"WARNING camera 1 (127.0.0.1:{server.server_address[1]}): it sends something that is no picture;"
        " trying again until pictures come"
    ]
    assert made.feed.counts.missing == made.feed.counts.pictures > 0
    assert counts[0].unusable > 2


def test_a_camera_that_sends_single_bytes_is_disconnected(caplog):
    def script(asked: Asked) -> None:
        asked.raw(b"HTTP/1.1 200 OK\r\n")
        asked.trickle(b"X-Header: value\r\n")

    limits = CameraLimits(silence_s=10.0, picture_s=0.3, backoff_s=0.02)
    with camera_server(script) as server, running(sending(register("a")), [address(1, "a", server.url)], limits):
        until(lambda: len(server.requests) > 1, "it is tried again")
    assert "no picture came in time" in caplog.text


def test_the_pause_between_attempts_grows_up_to_its_limit():
    tried: list[float] = []

    def script(asked: Asked) -> None:
        tried.append(monotonic())
        asked.answer("text/html", b"", 503)

    limits = CameraLimits(backoff_s=0.03, backoff_cap_s=0.2)
    with camera_server(script) as server, running(sending(register("a")), [address(1, "a", server.url)], limits):
        until(lambda: len(tried) == 7, "it is tried again and again")
    for number, (before, after) in enumerate(pairwise(tried)):
        assert after - before >= min(0.03 * 2**number, 0.2) / 2


def test_an_unforeseen_error_of_a_camera_ends_neither_it_nor_the_others(caplog):
    class Surprising:
        tried = 0

        def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
            Surprising.tried += 1
            raise KeyError(SECRET)

        def check(self) -> None:
            pass

        def cut(self) -> None:
            pass

    made, stop = sending(register("a")), threading.Event()
    thread = threading.Thread(
        target=run_cameras,
        args=(made.feed, [address(1, "a", "http://x")], now_ms, stop, LIMITS, lambda address: Surprising()),
        daemon=True,
    )
    thread.start()
    until(lambda: Surprising.tried > 3, "it is tried again")
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [line for line in lines(caplog) if "camera" in line] == [
        "WARNING camera 1 (x:80): unexpected KeyError; trying again until pictures come"
    ]


def test_stopping_does_not_wait_for_a_silent_camera():
    seen, limits = threading.Event(), CameraLimits(silence_s=60.0, picture_s=60.0)

    def script(asked: Asked) -> None:
        seen.set()
        asked.hang()

    with camera_server(script) as server, running(sending(register("a")), [address(1, "a", server.url)], limits):
        assert seen.wait(10)


def test_a_failed_delivery_ends_all_cameras():
    made = sending(register("a"))

    class Refusal(Exception):
        pass

    def refuse(*arguments: object) -> None:
        raise Refusal

    made.feed.send = refuse  # type: ignore[method-assign,assignment]
    alive = threading.active_count()
    with camera_server(streaming) as server, pytest.raises(Refusal):
        run_cameras(made.feed, [address(1, "a", server.url)], now_ms, threading.Event(), LIMITS)
    until(lambda: threading.active_count() <= alive, "all threads have ended")


def test_pictures_that_arrived_before_the_end_are_sent():
    made, stop, cut = sending(register("a")), threading.Event(), threading.Event()

    class Last:
        """Yields a picture when it is asked to end."""

        def pictures(self, due: Callable[[], bool]) -> Iterator[Arrival]:
            stop.set()
            assert cut.wait(10)
            yield Arrival(None, lambda: b"the last")

        def check(self) -> None:
            pass

        def cut(self) -> None:
            cut.set()

    run_cameras(made.feed, [address(1, "a", "http://x")], now_ms, stop, LIMITS, lambda address: Last())
    assert [frame.picture for frame in made.frames()] == [b"the last"]
    assert made.journal.acknowledged_readings == 1
