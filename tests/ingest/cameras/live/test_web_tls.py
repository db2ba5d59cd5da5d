"""HTTP cameras under TLS: which certificates are trusted, and how a connection is cut."""

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ingest.cameras.live import protocol
from ingest.cameras.live.protocol import CameraLimits, CameraUnavailable
from tests.ingest.cameras.live.servers import camera_server, jpeg, socket_server
from tests.ingest.cameras.live.web_cameras import always, camera, come, one_then_silence, pictures_of


def certificate(folder: Path, name: str) -> Path:
    """A file with a certificate that vouches for itself at 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_under_tls_the_certificate_must_be_trusted(tmp_path):
    own, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    (tmp_path / "none.pem").write_text("nothing")
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own)
    with camera_server(lambda asked: asked.answer("image/jpeg", jpeg(0)), tls) as server:
        url = server.url.replace("http:", "https:")
        assert pictures_of(come(camera(url, ca_file=own), most=1)[0]) == [jpeg(0)]
        assert come(camera(url, ca_file=other)) == ([], "its certificate is not accepted")
        assert come(camera(url)) == ([], "its certificate is not accepted")
        assert come(camera(url, ca_file=tmp_path / "none.pem")) == ([], "its ca_file holds no certificate")
    with socket_server(lambda connection: connection.sendall(b"hello\r\n" * 10)) as port:
        assert come(camera(f"https://127.0.0.1:{port}", ca_file=own)) == ([], "it does not speak TLS")


def test_cut_ends_a_camera_under_tls_at_once(tmp_path):
    own = certificate(tmp_path, "own")
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own)
    with camera_server(one_then_silence, tls) as server:
        connection = camera(server.url.replace("http:", "https:"), limits=CameraLimits(), ca_file=own)
        with closing(connection.pictures(always)) as pictures:  # type: ignore[type-var]
            next(pictures)
            threading.Timer(0.05, connection.cut).start()
            with pytest.raises(CameraUnavailable, match=protocol.ENDED):
                next(pictures)
