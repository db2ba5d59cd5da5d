"""A Kafka that wants to know who is there: its users, its certificates, and what each user may do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from embedded import fast_start, kafka
from embedded.jars import classpath, read_lock
from tests.ports import LOOPBACK, free_ports

INSTALLED = Path(__file__).parents[2] / ".sistercity"
USERS = ("chief", "operator", "ingest", "process", "detect", "picture", "relay", "stranger")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# The tests themselves come without a name, on the listener BROKER.
PROPERTIES = """
listeners=BROKER://{{host}}:{{port}},CONTROLLER://{{host}}:{{controller_port}},{listeners}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,BOTH:SASL_SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:chief;User:CN=client
sasl.enabled.mechanisms={mechanisms}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.tls.ssl.client.auth=required
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """Where it listens: without questions, for users, for certificates, and for users under TLS.

    `folder` holds PEM files: ca, client (certificate and key, allowed everything), and those of a stranger's authority.
    The user chief may do everything as well, all others nothing yet.
    """

    unguarded: str
    sasl: str
    tls: str
    both: str
    folder: Path


def password(user: str) -> str:
    """The user's password, which must be seen nowhere."""
    return f"pass-of-{user}-4711"


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """The broker, for as long as the block runs."""
    _certificates(folder)
    ports = dict(zip(("SASL", "TLS", "BOTH"), free_ports(3), strict=True))
    properties = PROPERTIES.format(
        listeners=",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()),
        mechanisms=",".join(MECHANISMS),
        folder=folder,
    )
    users = " ".join(f'user_{user}="{password(user)}"' for user in USERS)
    module = "org.apache.kafka.common.security"
    for listener in ("sasl", "both"):
        where = f"listener.name.{listener}"
        properties += f"{where}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required {users};\n"
        for scram in ("scram-sha-256", "scram-sha-512"):
            properties += f"{where}.{scram}.sasl.jaas.config={module}.scram.ScramLoginModule required;\n"
    jars = read_lock()
    broker = kafka.start(
        *(folder / "kafka", classpath(INSTALLED, jars), threading.Event()),
        trial=fast_start.options(INSTALLED, jars),
        extra=properties,
        pattern=fast_start.storage_pattern(INSTALLED, jars),
    )
    try:
        _register_users(broker.bootstrap)
        sasl, tls, both = (f"{LOOPBACK}:{port}" for port in ports.values())
        yield Secured(broker.bootstrap, sasl, tls, both, folder)
    finally:
        kafka.stop(broker)


def _register_users(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        users = [UserScramCredentialUpsertion(user, mechanism, password(user)) for user in USERS]
        refused = admin.alter_user_scram_credentials(users)
        assert not any(refused.values()), refused
    admin.close()


def _certificates(folder: Path) -> None:
    ca, ca_key = _certificate("sistercity test CA", None)
    _write(folder / "ca.pem", ca)
    for name in ("server", "client"):
        _write(folder / f"{name}.pem", *_certificate(name, (ca, ca_key)))
    _write(folder / "strangers-ca.pem", *_certificate("stranger", None))


def _certificate(name: str, issuer: tuple | None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for a day, signed by the issuer or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signing = issuer or (None, key)
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
    )
    return built.sign(signing, hashes.SHA256()), key


def _write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> None:
    """The certificate in PEM, and after it the key, if there is one."""
    content = certificate.public_bytes(serialization.Encoding.PEM)
    if key is not None:
        content += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    path.write_bytes(content)
