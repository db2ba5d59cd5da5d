"""A TCP proxy before PostgreSQL that cuts connections at chosen COMMITs: between COPY and COMMIT, or after it."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class CuttingProxy:
    """Passes bytes on; at the nth COMMIT of copied rows, of all its connections, it cuts before the server hears it or
    after. `cuts[n]` is "before", "after" or None; commits after the end of the list pass, and those without rows.
    """

    def __init__(self, database_url: str, cuts: Sequence[str | None]) -> None:
        self._target = conninfo_to_dict(database_url)
        self._cuts = list(cuts)
        self._lock = threading.Lock()
        self.made: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.url = make_conninfo(database_url, host="127.0.0.1", port=port)
        threading.Thread(target=self._accept, daemon=True).start()

    def pass_to(self, database_url: str) -> None:
        """Pass new connections on to another address: the server was started again."""
        self._target = conninfo_to_dict(database_url)

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((str(self._target["host"]), int(str(self._target["port"]))))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        copied = False
        try:
            while data := client.recv(65536):
                copied = copied or b"COPY " in data
                cut = self._next_cut() if copied and b"COMMIT" in data else None
                copied = copied and b"COMMIT" not in data
                if cut == "before":
                    break
                server.sendall(data)
                if cut == "after":
                    client.shutdown(socket.SHUT_RDWR)  # the answer finds nobody; the server commits all the same
                    self._await_answer(server)
                    break
        except OSError:
            pass
        finally:
            for side in (client, server):
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)  # a close alone would wait for the other thread's recv
                side.close()

    def _await_answer(self, server: socket.socket) -> None:
        """Give the server time to commit: it ends the connection's transaction only when it has read the COMMIT."""
        server.settimeout(2)
        with suppress(OSError):
            server.recv(1)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        finally:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # the server has ended; the other thread closes both sides

    def _next_cut(self) -> str | None:
        with self._lock:
            cut = self._cuts.pop(0) if self._cuts else None
            if cut:
                self.made.append(cut)
            return cut
