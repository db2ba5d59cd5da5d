"""A small RTSP server: one MPEG-4 stream over the connection itself (RFC 2326, 10.12; RFC 3016), made from an AVI."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.ingest.cameras import videos
from tests.ingest.cameras.live.servers import socket_server

_PAYLOAD = 1_200
_TICKS_A_FRAME = 9_000
"""RTP's clock runs at 90 kHz, ten frames a second."""

_FRAME = b"\x00\x00\x01\xb6"
"""Where a coded frame begins; before the first one stands what a decoder must know."""


@dataclass
class RtspServer:
    """Plays `frames` frames to whoever asks, and falls silent; `heard` are the requests. With `lock`, needs a login."""

    folder: Path
    frames: int = 20
    lock: bool = False
    heard: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    coded: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Code the frames beforehand: OpenCV opens one video at a time."""
        self.coded = list(_chunks(videos.write(self.folder / "coded.avi", frames=self.frames, codec="FMP4")))

    def serve(self, connection: socket.socket) -> None:
        """One connection from its first request to its end."""
        waiting = b""
        while not self.closing.is_set():
            while b"\r\n\r\n" not in waiting:
                if not (more := connection.recv(4096)):
                    return
                waiting += more
            request, _, waiting = waiting.partition(b"\r\n\r\n")
            text = request.decode()
            self.heard.append(text)
            connection.sendall(self._answer(text))
            if text.startswith("PLAY"):
                self._play(connection)
                self.closing.wait(20)

    def _answer(self, request: str) -> bytes:
        lines = request.split("\r\n")
        method, url, _ = lines[0].split(" ")
        [order] = [line for line in lines if line.lower().startswith("cseq:")]
        headers, body, status = [order], "", "200 OK"
        if self.lock and method != "OPTIONS" and "Authorization:" not in request:
            status, headers = "401 Unauthorized", [order, 'WWW-Authenticate: Basic realm="camera"']
        elif method == "DESCRIBE":
            body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            body += "a=rtpmap:96 MP4V-ES/90000\r\n"
            header = self.coded[0].partition(_FRAME)[0]
            body += f"a=fmtp:96 profile-level-id=1;config={header.hex()}\r\na=control:track1\r\n"
            headers += [f"Content-Base: {url}/", "Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            headers += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
        elif method == "PLAY":
            headers += ["Session: 1", "Range: npt=0-"]
        return "\r\n".join([f"RTSP/1.0 {status}", *headers, "", body]).encode()

    def _play(self, connection: socket.socket) -> None:
        sequence = 0
        for number, frame in enumerate(self.coded):
            for at in range(0, len(frame), _PAYLOAD):
                last = at + _PAYLOAD >= len(frame)
                head = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence, number * _TICKS_A_FRAME, 1)
                packet = head + frame[at : at + _PAYLOAD]
                connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                sequence += 1


def _chunks(path: Path) -> Iterator[bytes]:
    """The frames as an AVI holds them, one chunk each."""
    data = path.read_bytes()
    at = data.index(b"movi") + 4
    while data[at : at + 4] == b"00dc":
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


@contextmanager
def rtsp_server(server: RtspServer) -> Iterator[int]:
    """The port at which it listens, for as long as the block runs."""
    with socket_server(server.serve) as port:
        try:
            yield port
        finally:
            server.closing.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
