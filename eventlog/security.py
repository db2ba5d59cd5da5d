"""How a client authenticates to Kafka, and how the connection is encrypted."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from eventlog.protocol import AccessRefused


@dataclass(frozen=True, slots=True)
class Security:
    """The security settings of every client of a cluster, as plain values.

    `protocol` is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; the SASL ones need `mechanism` (PLAIN, SCRAM-SHA-256
    or SCRAM-SHA-512), `username` and `password`, the SSL ones take files in PEM. Without `ca_file` the system's
    certificates are trusted. Without `key_file` the key is read from `cert_file`. The caller checks that they fit.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def encrypted(self) -> bool:
        """Whether connections are TLS."""
        return self.protocol in ("SSL", "SASL_SSL")

    def tls(self) -> ssl.SSLContext | None:
        """The context of TLS connections, None without TLS. Raises `AccessRefused` if a file can't be used."""
        if not self.encrypted:
            return None
        file = self.ca_file
        try:
            context = ssl.create_default_context(cafile=file)
            if self.cert_file is not None:
                file = self.cert_file
                # With an empty password OpenSSL does not prompt for one at the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except (OSError, ValueError) as error:
            raise AccessRefused(f"Kafka: {file} can't be used as TLS certificate or key: {error}") from error
        return context


PLAIN_TEXT = Security()
