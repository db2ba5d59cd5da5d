"""HTTP cameras of every behaviour, over real sockets: their pictures, or a fixed reason why there are none."""

import base64
import hashlib
import re
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from time import monotonic

import cv2
import numpy as np
import pytest

from ingest.cameras.jpeg import LARGEST_PICTURE
from ingest.cameras.live import protocol
from ingest.cameras.live.multipart import BAD_PART, NO_BOUNDARY
from ingest.cameras.live.protocol import CameraLimits, CameraUnavailable
from ingest.cameras.live.web import WebCamera
from tests.ingest.cameras.live.servers import Asked, camera_server, jpeg
from tests.ingest.cameras.live.web_cameras import NOW, SECRET, always, camera, come, one_then_silence, pictures_of
from tests.ports import free_port

PASSWORD = "pass-4712"
HURRIED = CameraLimits(silence_s=5.0, picture_s=0.3, bytes=1 << 20)


def test_a_stream_yields_its_pictures_and_their_times():
    def script(asked: Asked) -> None:
        asked.stream()
        asked.part(jpeg(0))
        asked.part(jpeg(1), "X-Timestamp: 1790000000.25")
        asked.part(b"<html>no picture</html>")
        asked.part(jpeg(2)[:300])  # whoever looks at it says what is wrong

    with camera_server(script) as server:
        found, reason = come(camera(server.url))
    assert pictures_of(found) == [jpeg(0), jpeg(1), jpeg(2)[:300]]
    assert [arrival.taken_ms for arrival in found] == [None, 1_790_000_000_250, None]
    assert reason == protocol.ENDED
    assert server.requests == [f"/{SECRET} -"]


def test_a_still_camera_is_requested_whenever_a_picture_is_due():
    asked_for = iter(range(3))

    def script(asked: Asked) -> None:
        number = len(asked.server.requests) - 1
        asked.answer("image/jpeg", jpeg(number), Last_Modified="Mon, 21 Sep 2026 14:13:10 GMT")

    def due() -> bool:
        return next(asked_for, None) is not None

    with camera_server(script) as server:
        found = list(camera(server.url).pictures(due))
    assert pictures_of(found) == [jpeg(number) for number in range(3)]
    assert [arrival.taken_ms for arrival in found] == [None] * 3  # seconds are too coarse for 20 a second
    assert len(server.requests) == 3


def test_the_headers_of_a_still_picture_hold_when_it_was_taken():
    def script(asked: Asked) -> None:
        asked.answer(
            "image/jpeg", jpeg(0), Date="Thu, 01 Jan 1970 00:00:12 GMT", Last_Modified="Thu, 01 Jan 1970 00:00:07 GMT"
        )

    with camera_server(script) as server:
        [arrival], _ = come(camera(server.url, rate=0.1), most=1)
    assert arrival.taken_ms == NOW - 5_000


def test_pictures_of_other_formats_and_sizes_become_jpeg_that_fits():
    noise = np.random.default_rng(1).integers(0, 256, (1800, 2000, 3), dtype=np.uint8)
    large = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    png = cv2.imencode(".png", noise[:20, :30])[1].tobytes()
    bomb = png[:16] + (20_000).to_bytes(4, "big") * 2 + png[24:]
    assert len(large) > LARGEST_PICTURE

    def script(asked: Asked) -> None:
        asked.stream()
        for picture in (large, png, bomb):
            asked.part(picture)

    with camera_server(script) as server:
        found, _ = come(camera(server.url, limits=CameraLimits()))
    first, second, third = pictures_of(found)
    assert first.startswith(b"\xff\xd8\xff")
    assert 0 < len(first) <= LARGEST_PICTURE
    assert cv2.imdecode(np.frombuffer(second, np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)
    assert third == b""


def endlessly(asked: Asked, data: bytes) -> None:
    while not asked.server.closing.is_set():
        asked.raw(data)


def chunked_endlessly(asked: Asked) -> None:
    asked.answer("image/jpeg", Content_Length="", Transfer_Encoding="chunked")
    endlessly(asked, b"10000\r\n" + jpeg(0)[:3].ljust(65_536, b"x") + b"\r\n")


def garbage_for_ever(asked: Asked) -> None:
    asked.stream()
    while not asked.server.closing.wait(0.02):
        asked.part(b"no picture")


TEMPERS: dict[str, tuple[Callable[[Asked], object], str]] = {
    "ends in a part": (lambda a: (a.stream(), a.raw(b"--frame\r\n\r\n" + jpeg(0)[:50])), protocol.ENDED),
    "ends in a body": (lambda a: a.answer("image/jpeg", jpeg(0), Content_Length="100000"), protocol.ENDED),
    "ends at once": (lambda a: None, protocol.ENDED),
    "no boundary": (lambda a: (a.stream(""), a.raw(b"Content-Type: image/jpeg\r\n\r\nx")), NO_BOUNDARY),
    "no parts": (lambda a: (a.stream(), endlessly(a, b"\xff\xd8\xff" + bytes(5000))), BAD_PART),
    "endless part": (lambda a: (a.stream(), a.raw(b"--f\r\n\r\n"), endlessly(a, bytes(65_536))), protocol.TOO_LARGE),
    "huge part": (
        lambda a: (a.stream(), a.raw(b"--f\r\nContent-Length: 99999999999\r\n\r\n"), a.hang()),
        protocol.TOO_LARGE,
    ),
    "huge length": (lambda a: a.answer("image/jpeg", jpeg(0), Content_Length="99999999999"), protocol.TOO_LARGE),
    "endless body": (
        lambda a: (a.answer("image/jpeg", jpeg(0), Content_Length=""), endlessly(a, bytes(65_536))),
        protocol.TOO_LARGE,
    ),
    "endless chunks": (chunked_endlessly, protocol.TOO_LARGE),
    "text": (lambda a: a.answer("text/html", b"<html>login</html>"), protocol.NO_PICTURE),
    "nothing": (lambda a: a.answer("image/jpeg", b""), protocol.NO_PICTURE),
    "packed": (lambda a: a.answer("image/jpeg", b"\x1f\x8b" + bytes(50), Content_Encoding="gzip"), protocol.NO_PICTURE),
    "absent": (lambda a: a.answer("image/jpeg", jpeg(0), 404), "it gives no picture (status 404)"),
    "locked": (lambda a: a.answer("image/jpeg", jpeg(0), 403), "it does not let us in (status 403)"),
    "wants a login": (lambda a: a.answer("image/jpeg", jpeg(0), 401), "it does not let us in (status 401)"),
    "no HTTP": (lambda a: a.raw(jpeg(0)), "it does not speak HTTP"),
    "silent": (lambda a: a.hang(), protocol.SILENT),
    "silent in a head": (lambda a: (a.raw(b"HTTP/1.1 200 OK\r\nCon"), a.hang()), protocol.SILENT),
    "silent in a stream": (lambda a: (a.stream(), a.hang()), protocol.SILENT),
    "silent in a body": (
        lambda a: (a.answer("image/jpeg", jpeg(0), Content_Length="100000"), a.hang()),
        protocol.SILENT,
    ),
}


@pytest.mark.parametrize("temper", TEMPERS)
def test_every_failure_has_a_fixed_reason(temper):
    script, reason = TEMPERS[temper]
    with camera_server(script) as server:
        assert come(camera(server.url)) == ([], reason)


DRIPPING: dict[str, Callable[[Asked], None]] = {
    "head": lambda a: (a.raw(b"HTTP/1.1 200 OK\r\n"), a.trickle(b"X-Header: value\r\n")),  # type: ignore[dict-item]
    "body": lambda a: (a.answer("image/jpeg", jpeg(0)[:3], Content_Length="9999"), a.trickle(b"x")),  # type: ignore[dict-item]
    "stream": lambda a: (a.stream(), a.trickle(b"\r\n")),  # type: ignore[dict-item]
    "part": lambda a: (a.stream(), a.part(jpeg(0)), a.raw(b"--frame\r\n\r\n\xff\xd8\xff"), a.trickle(b"x")),  # type: ignore[dict-item]
    "no pictures": garbage_for_ever,
}


@pytest.mark.parametrize("where", DRIPPING)
def test_a_camera_that_sends_a_byte_now_and_then_is_disconnected(where):
    with camera_server(DRIPPING[where]) as server, watching(connection := camera(server.url, limits=HURRIED)):
        found, reason = come(connection)
    assert reason == protocol.TOO_SLOW
    assert len(found) == (where == "part")


class watching:
    """What the sending thread does for a camera: it looks now and then whether it takes too long."""

    def __init__(self, connection: WebCamera) -> None:
        self._connection = connection
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.02):
            self._connection.check()


def test_a_camera_that_sends_pictures_is_never_disconnected():
    def script(asked: Asked) -> None:
        asked.stream()
        for number in range(5):
            asked.part(jpeg(number))
            asked.server.closing.wait(0.2)

    limits = CameraLimits(silence_s=0.8, picture_s=0.8)
    with camera_server(script) as server, watching(connection := camera(server.url, limits=limits)):
        found, reason = come(connection)
    assert (len(found), reason) == (5, protocol.ENDED)


def test_the_memory_for_an_answer_is_bounded():
    with camera_server(lambda a: (a.stream(), a.raw(b"--f\r\n\r\n"), endlessly(a, bytes(65_536)))) as server:
        connection = camera(server.url, limits=CameraLimits(bytes=1 << 20))
        tracemalloc.start()
        try:
            assert come(connection)[1] == protocol.TOO_LARGE
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 6 << 20


def test_a_refusal_without_end_is_not_read():
    def script(asked: Asked) -> None:
        asked.answer("text/html", status=401, Content_Length="", WWW_Authenticate='Digest realm="r", nonce="n"')
        endlessly(asked, bytes(65_536))

    with camera_server(script) as server:
        found = come(camera(server.url, user="u", password=PASSWORD))
    assert found == ([], "it does not let us in (status 401)")
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_gets_no_password(status):
    with (
        camera_server(lambda asked: asked.answer("image/jpeg", jpeg(0))) as elsewhere,
        camera_server(lambda asked: asked.answer("text/html", status=status, Location=elsewhere.url)) as server,
    ):
        assert come(camera(server.url, user="u", password=PASSWORD)) == ([], protocol.ELSEWHERE)
    assert elsewhere.requests == []


def basic(asked: Asked) -> None:
    expected = "Basic " + base64.b64encode(f"u:{PASSWORD}".encode()).decode()
    if asked.headers.get("Authorization") == expected:
        asked.answer("image/jpeg", jpeg(0))
    else:
        asked.answer("text/html", b"who is there?", 401, WWW_Authenticate='Basic realm="camera"')


def digest(asked: Asked) -> None:
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', asked.headers.get("Authorization", "")))
    first = hashlib.md5(f"u:camera:{PASSWORD}".encode()).hexdigest()
    second = hashlib.md5(f"GET:{asked.path}".encode()).hexdigest()
    whole = f"{first}:n1:{given.get('nc')}:{given.get('cnonce')}:auth:{second}"
    if given.get("response") == hashlib.md5(whole.encode()).hexdigest():
        asked.answer("image/jpeg", jpeg(0))
    else:
        asked.send_response_only(401)
        asked.send_header("WWW-Authenticate", 'Basic realm="camera"')
        asked.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="n1", qop="auth"')
        asked.send_header("Content-Length", "0")
        asked.end_headers()


def digest_after_basic(asked: Asked) -> None:
    """All challenges in one header, the weaker ones first."""
    challenges = (
        'Basic realm="IP, Digest Camera", Digest realm="camera", nonce="n1", algorithm=NEW, '
        'Digest realm="camera", nonce="n1", qop="auth", algorithm=MD5'
    )
    if "Digest " in asked.headers.get("Authorization", ""):
        digest(asked)
    else:
        asked.answer("text/html", b"", 401, WWW_Authenticate=challenges)


@pytest.mark.parametrize("script", [basic, digest, digest_after_basic])
def test_a_camera_that_asks_for_a_login_gets_it(script):
    with camera_server(script) as server:
        assert pictures_of(come(camera(server.url, user="u", password=PASSWORD), 2)[0]) == [jpeg(0)] * 2
        assert come(camera(server.url, user="u", password="wrong")) == ([], "it does not let us in (status 401)")
        assert come(camera(server.url)) == ([], "it does not let us in (status 401)")
    logins = [request.split(" ", 1)[1] for request in server.requests]
    assert logins[0] == "-"  # no login is sent before it is asked for
    if script is not basic:
        assert not [login for login in logins if login.startswith("Basic") or PASSWORD in login]


@pytest.mark.parametrize(
    "challenge",
    [
        "Digest",
        "Digest realm",
        'Digest realm="r"',
        'Digest realm="r", nonce="n", algorithm="NEW"',
        "Negotiate",
        "\xff",
        'Basic realm="r", Digest realm="r"',
        'Basic realm="r", Digest realm="r", nonce="n", algorithm=NEW',
        'Digest realm="r", nonce="n", algorithm=NEW, Basic realm="r"',
        'Basic realm="r, Digest realm="r", nonce="n',
    ],
)
def test_a_malformed_challenge_makes_the_camera_unavailable(challenge):
    with camera_server(lambda asked: asked.answer("text/html", b"?", 401, WWW_Authenticate=challenge)) as server:
        found, reason = come(camera(server.url, user="u", password=PASSWORD))
    assert not found
    assert reason in ("it asks for a login that is not known here", "it does not let us in (status 401)")
    assert not any("Basic" in request for request in server.requests)


def without_a_type(asked: Asked) -> None:
    asked.answer("text/plain", Content_Length="")
    for number in range(3):
        asked.raw(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(number) + b"\r\n")
    asked.raw(b"--frame--\r\n")


def without_any_type(asked: Asked) -> None:
    asked.raw(b"HTTP/1.0 200 OK\r\n\r\n\r\n")
    for number in range(3):
        asked.raw(b"--frame\r\n\r\n" + jpeg(number) + b"\r\n")
    asked.raw(b"--frame--\r\n")


def blank_lines_before_pictures(asked: Asked) -> None:
    asked.stream()
    for number in range(3):
        picture, blank = jpeg(number), b"\r\n" * number
        length = (b"", b"Content-Length: %d\r\n" % len(picture), b"Content-Length: %d\r\n" % len(blank + picture))[
            number
        ]
        asked.raw(b"--frame\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + blank + picture + b"\r\n")
    asked.raw(b"--frame--\r\n")


@pytest.mark.parametrize("script", [without_a_type, without_any_type, blank_lines_before_pictures])
@pytest.mark.parametrize("kind", [None, "mjpeg"])
def test_a_stream_is_known_by_its_body_and_blank_lines_are_no_part_of_a_picture(script, kind):
    with camera_server(script) as server:
        found, reason = come(camera(server.url, kind=kind))
    assert pictures_of(found) == [jpeg(number) for number in range(3)]
    assert reason == protocol.ENDED


def test_blank_lines_before_a_single_picture_are_no_part_of_it():
    with camera_server(lambda asked: asked.answer("image/jpeg", b"\r\n\r\n" + jpeg(0))) as server:
        assert pictures_of(come(camera(server.url), most=1)[0]) == [jpeg(0)]


@pytest.mark.parametrize(
    ("kind", "stream", "reason"),
    [
        ("mjpeg", False, "it gives single pictures, no stream"),
        ("jpeg", True, "it gives a stream, no single picture"),
        ("mjpeg", True, "enough"),
        ("jpeg", False, "enough"),
    ],
)
def test_a_camera_of_another_kind_than_in_its_file_is_unavailable(kind, stream, reason):
    def script(asked: Asked) -> None:
        if stream:
            asked.stream()
            asked.part(jpeg(0))
        else:
            asked.answer("image/jpeg", jpeg(0))

    with camera_server(script) as server:
        assert come(camera(server.url, kind=kind), most=1)[1] == reason


def test_a_closed_port_and_an_unknown_name_are_reported():
    assert come(camera(f"http://127.0.0.1:{free_port()}")) == ([], "no connection: Connection refused")
    assert come(camera("http://nobody.invalid")) == ([], "its name is not known")


def test_cookies_and_proxies_of_the_environment_are_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    cookies: list[str | None] = []

    def script(asked: Asked) -> None:
        cookies.append(asked.headers.get("Cookie"))
        asked.answer("image/jpeg", jpeg(0), Set_Cookie=f"c{len(cookies)}=1")

    with camera_server(script) as server:
        assert len(come(camera(server.url), most=3)[0]) == 3
    assert cookies == [None] * 3


def test_cut_ends_a_camera_at_once():
    with camera_server(one_then_silence) as server:
        connection = camera(server.url, limits=CameraLimits())
        began = monotonic()
        with closing(connection.pictures(always)) as pictures:  # type: ignore[type-var]
            next(pictures)
            threading.Timer(0.05, connection.cut).start()
            with pytest.raises(CameraUnavailable, match=protocol.ENDED):
                next(pictures)
    assert monotonic() - began < CameraLimits().silence_s
