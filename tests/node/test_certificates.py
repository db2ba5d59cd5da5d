"""The demo's certificates hold for its cities' addresses, under its own authority alone."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.demo.certificates import Authority, ServerCertificate


def shaken(server: ServerCertificate, trusted: Path, name: str) -> None:
    """A TLS handshake over a socket with a server that has this certificate. Raises `ssl.SSLError`."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(server.certificate, server.key)
    ours = ssl.create_default_context(cafile=trusted)
    ours.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            with theirs.wrap_socket(far, server_side=True):
                pass
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with ours.wrap_socket(near, server_hostname=name):
            pass
    finally:
        near.close()
        thread.join()


def test_a_certificate_holds_for_its_address_under_its_authority_alone(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    ours, theirs = (Authority(folder, datetime.now(UTC)) for folder in folders)
    made = ours.certify("isfahan", ["127.0.0.1"])
    shaken(made, ours.certificate, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
        shaken(made, ours.certificate, "127.0.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(made, theirs.certificate, "127.0.0.1")


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = Authority(tmp_path, datetime.now(UTC)).certify("isfahan", ["127.0.0.1"])
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
