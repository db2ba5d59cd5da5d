"""A polled source in a process of its own: it serves files, and does what a file beside each of them says.

    python tests/polled_server.py FOLDER PORT [CERTIFICATE]

`/name?query` is the file `name?query` of the folder, or else `name`. JSON in `NAME.does` says more: `status`,
`headers`, `gzip`, `endless` (bytes without end), `drip` (a byte now and then), `stall` (no answer).
Without more it answers with an ETag, and with 304 to who has it. Every request is a line of `requests`.
"""

import gzip
import json
import ssl
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from tests.ports import free_port
from tests.waiting import until

_NEVER = Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        """Serve a file."""
        asked = self.path.lstrip("/")
        with (self.folder / "requests").open("a") as log:
            log.write(
                json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n"
            )
        path = next(
            (self.folder / name for name in (asked, asked.partition("?")[0]) if (self.folder / name).is_file()), None
        )
        if path is None:
            self._answer(404, b"", {})
            return
        beside = path.with_name(path.name + ".does")
        does = json.loads(beside.read_text()) if beside.is_file() else {}
        self._do(path.read_bytes(), does)

    def _do(self, content: bytes, does: Mapping[str, Any]) -> None:
        if does.get("stall"):
            _NEVER.wait(60)
            return
        if does.get("endless") or does.get("drip"):
            self._forever(does)
            return
        headers, status = dict(does.get("headers", {})), int(does.get("status", 200))
        if status == 200:
            etag = f'"{sha256(content).hexdigest()[:16]}"'
            headers.setdefault("ETag", etag)
            if self.headers.get("If-None-Match") == headers["ETag"]:
                self._answer(304, b"", headers)
                return
        if does.get("gzip"):
            content = gzip.compress(content)
            headers["Content-Encoding"] = "gzip"
        self._answer(status, content, headers)

    def _forever(self, does: Mapping[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        packing = zlib.compressobj(wbits=31) if does.get("gzip") else None
        if packing is not None:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        block = b"\n" * (1 << 16 if does.get("endless") else 1)
        try:
            while True:
                self.wfile.write(block if packing is None else packing.compress(block))
                self.wfile.flush()
                if does.get("drip"):
                    _NEVER.wait(0.05)
        except OSError:
            self.close_connection = True

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class AskedOf:
    """A request; names of headers are in small letters."""

    path: str
    headers: Mapping[str, str]


class PolledServer:
    """A server of a folder; `start` and `kill` as often as a test likes."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._certificate = certificate
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, with a slash at the end."""
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Return when it answers."""
        command = [sys.executable, "-m", "tests.polled_server", str(self.folder), str(self.port)]
        command += [str(self._certificate)] if self._certificate else []
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
        until(self._answers, "the polled server answers", pause_s=0.02)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def serve(self, name: str, content: str | bytes, **does: object) -> None:
        """Serve this from now on; a reader gets the one before, or this, whole."""
        content = content.encode() if isinstance(content, str) else content
        for path, text in ((name, content), (f"{name}.does", json.dumps(does).encode())):
            part = self.folder / f"{path}.part"
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(text)
            part.replace(self.folder / path)

    def requests(self) -> list[AskedOf]:
        """Each request so far, but those of `start`."""
        path = self.folder / "requests"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [AskedOf(**item) for item in map(json.loads, lines) if item["path"] != "/"]

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, verify=False, trust_env=False).status_code == 404
        except httpx.TransportError:
            return False


@contextmanager
def polled_server(folder: Path, certificate: Path | None = None) -> Iterator[PolledServer]:
    """A running server of a new folder; it is ended at the end."""
    folder.mkdir()
    server = PolledServer(folder, certificate)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _main() -> None:
    folder, port, *certificate = sys.argv[1:]
    _Handler.folder = Path(folder)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
