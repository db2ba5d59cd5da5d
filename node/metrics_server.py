"""The port of a process that Prometheus and health checks ask: `/metrics` and `/healthz`."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from node.health import RoleHealth

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MOST_CONNECTIONS = 16
"""Prometheus and health checks need one or two at a time."""
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class MetricsServer:
    """Serves the metrics of this process, and a role's health, in a thread. Raises `OSError` if the port is taken.

    `/healthz` answers 200 or 503 with a JSON object: role, healthy, last_success (seconds since 1970, UTC), why_not.
    """

    def __init__(self, host: str, port: int, health: RoleHealth | None) -> None:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        kind = type("_Server", (_Threads,), {"address_family": family})
        self._server: WSGIServer = make_server(host, port, _app(health), kind, _Quiet)
        threading.Thread(target=self._server.serve_forever, daemon=True, name="metrics").start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Threads(ThreadingMixIn, WSGIServer):
    """A thread for each connection, so that none waits for another; of too many, the oldest connection is ended."""

    daemon_threads = True

    def __init__(self, *args: Any, **options: Any) -> None:
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().__init__(*args, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # its client has gone
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end
            self._open[request] = None
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection that was served."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """Seconds for a client to send its request."""

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def _app(health: RoleHealth | None) -> "WSGIApplication":
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        if health is None:
            start_response("404 Not Found", [*_JSON])
            return [b'{"why_not":"a command that ends by itself has no health"}']
        state = health.state()
        start_response("200 OK" if state.healthy else "503 Service Unavailable", [*_JSON])
        return [json.dumps(state.as_json()).encode()]

    return app
