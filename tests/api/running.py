"""An app behind its server, on a free port of loopback."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from starlette.types import ASGIApp

from api.serving import BoundedServer, Listening, Patience, ProxyNetwork
from tests.waiting import until


@contextmanager
def running(
    app: ASGIApp,
    *,
    tls: ssl.SSLContext | None = None,
    proxies: Sequence[ProxyNetwork] = (),
    patience: Patience | None = None,
) -> Iterator[str]:
    """The server's URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)  # from here on a client's connection waits until the server accepts it
        port = listening.getsockname()[1]
        given = Listening("127.0.0.1", port, tls, proxies, patience or Patience())
        server = BoundedServer(app, given, log_level="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: server.started, "the server listens", pause_s=0.01)
            yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()
