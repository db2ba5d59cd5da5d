"""Video through ffmpeg: what it plays, and what is found out before it is let to a camera."""

import base64
import socket
from pathlib import Path
from threading import Event

import pytest

from ingest.cameras.live import protocol, video
from ingest.cameras.live.addresses import Address
from ingest.cameras.live.protocol import CameraLimits, CameraUnavailable
from ingest.cameras.live.video import VideoCamera, rtsp_camera
from tests.ingest.cameras import videos
from tests.ingest.cameras.live.rtsp_server import RtspServer, rtsp_server
from tests.ingest.cameras.live.servers import Asked, camera_server, socket_server
from tests.ports import free_port

SECRET = "geheim-4711"
SHORT = CameraLimits(silence_s=0.4, picture_s=0.4)


def always() -> bool:
    return True


def come(camera: VideoCamera) -> tuple[list[int], str]:
    """Which frames came, and why no more did."""
    found = []
    try:
        for arrival in camera.pictures(always):
            assert arrival.taken_ms is None
            found.append(videos.number_in(arrival.picture()))
    except CameraUnavailable as away:
        return found, away.reason
    return found, "no more"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return videos.write(tmp_path / "clip.mp4", frames=20)


def test_all_frames_arrive_until_the_end(clip):
    assert come(VideoCamera(str(clip), SHORT)) == (list(range(20)), protocol.SILENT)


def test_frames_arrive_over_the_network(clip):
    with camera_server(lambda asked: asked.answer("video/mp4", clip.read_bytes())) as server:
        assert come(VideoCamera(f"{server.url}/clip.mp4", CameraLimits()))[0] == list(range(20))


def test_a_frame_that_is_not_owed_is_not_encoded(clip, monkeypatch):
    def never(*arguments: object) -> bytes:
        raise AssertionError("the frame was encoded")

    monkeypatch.setattr(video, "encoded", never)
    with pytest.raises(CameraUnavailable):
        for _ in VideoCamera(str(clip), SHORT).pictures(always):
            pass


def test_frames_of_too_many_pixels_are_not_played(clip, monkeypatch):
    monkeypatch.setattr(video, "MOST_PIXELS", 256 * 96 - 1)
    assert come(VideoCamera(str(clip), SHORT)) == ([], protocol.TOO_LARGE)


def test_no_connection_is_made_if_nothing_is_due(clip):
    assert list(VideoCamera(str(clip), SHORT).pictures(lambda: False)) == []


def test_cut_ends_a_video(clip):
    camera = VideoCamera(str(clip), SHORT)
    pictures = camera.pictures(always)
    next(pictures)
    camera.cut()
    assert list(pictures) == []


def test_a_stream_that_stalls_ends_by_its_time_out(clip):
    def script(asked: Asked) -> None:
        data = clip.read_bytes()
        asked.answer("video/mp4", data[: len(data) // 2], Content_Length=str(len(data)))
        asked.hang()

    with camera_server(script) as server:
        found, reason = come(VideoCamera(server.url, SHORT))
    assert len(found) < 20
    assert reason in (protocol.SILENT, "its video can't be played, or it does not let us in")


def rtsp(port: int, **login: str) -> VideoCamera:
    return rtsp_camera(Address(1, "K-17", f"rtsp://127.0.0.1:{port}/{SECRET}", 2.0, "rtsp", **login), SHORT)  # type: ignore[arg-type]


def test_a_closed_port_and_an_unknown_name_are_reported():
    assert come(rtsp(free_port())) == ([], "no connection: Connection refused")
    unknown = Address(1, "K-17", "rtsp://nobody.invalid/", 2.0, "rtsp")
    found, reason = come(rtsp_camera(unknown, SHORT))
    assert (found, reason.split(":")[0]) == ([], "no connection")


@pytest.mark.parametrize("lock", [False, True])
def test_an_rtsp_camera_yields_frames_until_it_falls_silent(lock, tmp_path):
    server = RtspServer(tmp_path, lock=lock)
    with rtsp_server(server) as port:
        login = {"user": "ü@", "password": "p:/@%"} if lock else {}
        found, reason = come(rtsp(port, **login))
    assert found == list(range(len(found)))
    assert 10 < len(found) < 20  # what the decoder still holds then comes too late to be of that moment
    assert reason == protocol.SILENT
    assert [request.split(" ")[0] for request in server.heard if "Authorization" in request or not lock][-2:] == [
        "SETUP",
        "PLAY",
    ]
    assert all("RTP/AVP/TCP" in request for request in server.heard if request.startswith("SETUP"))
    if lock:
        told = base64.b64encode("ü@:p:/@%".encode()).decode()
        assert f"Authorization: Basic {told}" in server.heard[-1]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "it does not speak RTSP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak RTSP"),
        (b"x" * 100_000, "it does not speak RTSP"),
        (b"RTSP/1.0 302 Moved\r\nLocation: rtsp://10.0.0.1/\r\n\r\n", protocol.ELSEWHERE),
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", "its video can't be played, or it does not let us in"),
    ],
)
def test_an_address_is_probed_before_ffmpeg_connects(said, reason):
    heard: list[bytes] = []

    def say(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(said)

    with socket_server(say) as port:
        assert come(rtsp(port, user="u", password="p")) == ([], reason)
    assert heard[0].startswith(b"OPTIONS rtsp://127.0.0.1:%d/%s RTSP/1.0\r\n" % (port, SECRET.encode()))
    assert (len(heard) > 1) == said.startswith(b"RTSP/1.0 200")


@pytest.mark.parametrize(
    ("challenge", "plays"),
    [
        (b'WWW-Authenticate: Basic realm="a, Digest b"', True),
        (b'WWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: Digest realm="a", nonce="n"', True),
        (b'WWW-Authenticate: Basic realm="a", Digest realm="a", nonce="n"', False),
        (b'WWW-Authenticate: Basic realm="a, Digest realm="a", nonce="n', False),
    ],
)
def test_no_password_is_shown_where_the_player_would_not_see_that_digest_is_offered(challenge, plays):
    heard: list[bytes] = []

    def say(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        status = b"200 OK" if heard[-1].startswith(b"OPTIONS") else b"401 Unauthorized\r\n" + challenge
        connection.sendall(b"RTSP/1.0 " + status + b"\r\nCSeq: 1\r\n\r\n")

    with socket_server(say) as port:
        found, reason = come(rtsp(port, user="u", password="p"))
    assert found == []
    assert (reason == "its video can't be played, or it does not let us in") == plays
    assert (len(heard) > 2) == plays


def test_a_probe_reads_a_limited_answer():
    def say(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(1000))

    with socket_server(say) as port:
        assert come(rtsp(port)) == ([], "it does not speak RTSP")


def test_a_probe_without_an_answer_times_out():
    end = Event()
    with socket_server(lambda connection: bool(end.wait(10))) as port:  # type: ignore[arg-type]
        assert come(rtsp(port)) == ([], "it does not answer")
        end.set()


def test_a_silent_rtsp_camera_times_out():
    """ffmpeg waits for an answer then, by itself for half a minute."""
    asked: list[bytes] = []

    def say(connection: socket.socket) -> None:
        asked.append(connection.recv(4096))
        if len(asked) == 1:
            connection.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
        else:
            connection.settimeout(10)
            asked.append(connection.recv(4096))

    with socket_server(say) as port:
        assert come(rtsp(port)) == ([], "its video can't be played, or it does not let us in")
    assert len(asked) == 3
    assert asked[2] == b""  # it has gone
