"""TLS by certificate files that are read again when they were renewed."""

import logging
import ssl
import threading
from pathlib import Path

from cryptography import x509
from prometheus_client import Gauge

from errors import OperatorError

EXPIRES = Gauge(
    "sistercity_certificate_expires_timestamp_seconds", "When the certificate that TLS is answered with ends, Unix time"
)

log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class UselessCertificate(OperatorError):
    """The files of certificate and key can't be used together; the text says which and why."""


def renewing_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a server: TLS 1.2 and newer, with the files as they are at each handshake.

    `certificate`: PEM, the chain with the server's own certificate first. `key`: PEM, not encrypted. Whoever renews
    them may write one after the other: as long as they don't fit together, the last ones that did are used. Raises
    `UselessCertificate` if they can't be used now.
    """
    return _Renewing(certificate, key).context


class _Renewing:
    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._lock = threading.Lock()
        try:
            self._stamp = self._stamped()
            self._current = self._loaded()
        except (OSError, ssl.SSLError) as error:
            raise UselessCertificate(
                f"the certificate {certificate} and its key {key} can't be used: {error}; both are PEM, the key is not"
                " encrypted and belongs to the first certificate"
            ) from None
        self.context = self._loaded()
        self.context.sni_callback = self._at_handshake
        EXPIRES.set_function(self._expires)

    def _at_handshake(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: object) -> None:
        del name, context
        connection.context = self._newest()

    def _newest(self) -> ssl.SSLContext:
        with self._lock:
            try:
                stamp = self._stamped()
                if stamp != self._stamp:
                    self._current, self._stamp = self._loaded(), stamp
                    log.info("the certificate was read again from %s", self._files[0])
            except (OSError, ssl.SSLError) as error:
                log.warning("the renewed certificate in %s is not used yet: %s", self._files[0], error)
            return self._current

    def _expires(self) -> float:
        self._newest()
        return self._until

    def _stamped(self) -> _Stamp:
        stats = [path.stat() for path in self._files]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*map(str, self._files))
        self._until = x509.load_pem_x509_certificate(self._files[0].read_bytes()).not_valid_after_utc.timestamp()
        return context
