"""Cursors: a position in a log, opaque to clients. Base64url of the log's id (16 bytes) and the position (8 bytes)."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

_BYTES = 24


class BadCursor(ValueError):
    """The text is not a cursor that a node made."""


def cursor(log: str, position: int) -> str:
    """The cursor after `position` of the log with this UUID: 32 letters, digits, hyphens or underscores."""
    return urlsafe_b64encode(UUID(log).bytes + position.to_bytes(8, "big")).decode()


def place(text: str) -> tuple[str, int]:
    """The log's UUID and the position of a cursor. Raises `BadCursor`."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    # Decoding skips characters outside the alphabet: only a text that encodes to itself again was a cursor.
    if len(raw) != _BYTES or urlsafe_b64encode(raw).decode() != text:
        raise BadCursor("this is not a cursor: use the `next` of an earlier answer as it was")
    return str(UUID(bytes=raw[:16])), int.from_bytes(raw[16:], "big")
