"""HTTP cameras that behave as a test wants: real sockets on loopback."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

BOUNDARY = "frame"

Script = Callable[["Asked"], object]


def jpeg(number: int) -> bytes:
    """A small picture that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


class Asked(BaseHTTPRequestHandler):
    """One request. A script answers it; the connection ends with it."""

    server: "CameraServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append(f"{self.path} {self.headers.get('Authorization', '-')}")
        with suppress(OSError):  # the other side has gone
            self.server.script(self)

    def answer(self, content_type: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Headers, with dashes for underlines, and a body; its length too, unless a header tells another."""
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, boundary: str = BOUNDARY) -> None:
        """The head of a stream of parts."""
        self.answer(f"multipart/x-mixed-replace; boundary={boundary}", Content_Length="")

    def part(self, body: bytes, *headers: str) -> None:
        """One part of a stream."""
        head = "".join(f"{line}\r\n" for line in ("Content-Type: image/jpeg", f"Content-Length: {len(body)}", *headers))
        self.wfile.write(f"--{BOUNDARY}\r\n{head}\r\n".encode() + body + b"\r\n")

    def raw(self, data: bytes) -> None:
        """Bytes as they are, whatever they break."""
        self.wfile.write(data)

    def trickle(self, data: bytes, pause_s: float = 0.02) -> None:
        """Send bytes singly, until the other side or the server ends."""
        while not self.server.closing.is_set():
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.server.closing.wait(pause_s)

    def hang(self) -> None:
        """Say nothing until the server ends."""
        self.server.closing.wait(30)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""


class CameraServer(ThreadingHTTPServer):
    """A camera's web server; `requests` are the requested paths, each with its login."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.script = script
        self.requests: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *arguments: Any) -> None:
        """Nothing is printed."""


@contextmanager
def camera_server(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[CameraServer]:
    server = CameraServer(script)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def socket_server(say: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where every connection is given to `say`, and closed afterwards."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    say(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
