"""Signatures of single answers (RFC 9421), which the partner API does not make: what they would cost."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

COVERED = ("@status", "content-digest", "content-type")


def signer() -> Callable[[bytes], dict[str, str]] | None:
    """Signs an answer as RFC 9421 says, its digest (RFC 9530) among what is covered; None without the library."""
    try:
        from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms  # noqa: PLC0415
    except ImportError:
        return None
    from base64 import b64encode  # noqa: PLC0415

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()

    class _Keys(HTTPSignatureKeyResolver):  # type: ignore[misc]
        def resolve_private_key(self, key_id: str) -> Any:
            return key

    signing = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Keys())

    @dataclass
    class Message:
        status_code: int
        headers: dict[str, str]

    def sign(content: bytes) -> dict[str, str]:
        digest = b64encode(sha256(content).digest()).decode()
        message = Message(200, {"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/jsonl"})
        signing.sign(message, key_id="bench", covered_component_ids=COVERED, use_existing_digest=True)
        return message.headers

    return sign
