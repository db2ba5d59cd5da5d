"""What was revoked, in an append-only file beside the ledger: it outlives the database, and no restore replaces it.

A line is JSON: the id of a revoked agreement with the reason, or a signed object of an identity that takes something
back (the statement that ends it, or a document that lists revoked keys). A line only ever takes rights away, so a file
that lags does no harm. A line without its end was never on disk as a whole, and is cut off.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

from errors import OperatorError
from federation.identity.document import BadIdentity, Revocation
from federation.identity.receiving import bring_back
from store import agreements, identities
from store.database import Connection


class RevocationsFault(OperatorError):
    """The file of revocations is damaged, or can't be read or written."""


def agreement_line(agreement: str, reason: str) -> dict[str, str]:
    """The line of a revoked agreement."""
    return {"agreement": agreement, "reason": reason}


def identity_line(text: str) -> dict[str, str]:
    """The line of a statement, or of a document that lists revoked keys."""
    return {"identity": text}


def remember(path: Path, lines: Sequence[dict[str, str]]) -> int:
    """Add the lines that the file lacks, and wait until they are on disk; how many. Raises `RevocationsFault`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            content = file.read()
            whole = content.rfind(b"\n") + 1
            file.truncate(whole)
            known = [_keyed(line) for line in _parsed(path, content[:whole])]
            new = [line for line in lines if _keyed(line) not in known]
            file.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in new))
            file.flush()
            os.fsync(file.fileno())
        return len(new)
    except OSError as error:
        raise RevocationsFault(f"{path} can't be written: {error.strerror}") from None


def remembered(path: Path) -> list[dict[str, str]]:
    """The lines of the file, in order; none without a file. Raises `RevocationsFault`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RevocationsFault(f"{path} can't be read: {error.strerror}") from None
    return _parsed(path, content[: content.rfind(b"\n") + 1])


def apply(connection: Connection, path: Path) -> list[str]:
    """Revoke in the database what the file says, where that is not known there; what was done, in words.

    Raises `RevocationsFault`.
    """
    done = []
    for line in remembered(path):
        if "agreement" in line:
            if agreements.revoke(connection, line["agreement"], line["reason"]):
                done.append(f"agreement {line['agreement']} is revoked again: {line['reason']}")
            continue
        try:
            kept = bring_back(connection, line["identity"])
        except BadIdentity as error:
            raise RevocationsFault(f"{path} is damaged: {error}") from None
        if kept is not None:
            what = "is revoked again" if isinstance(kept, Revocation) else f"is of version {kept.version} again"
            done.append(f"the identity of {kept.city} {what}")
    return done


def remember_all(connection: Connection, path: Path) -> None:
    """Add what the database knows to be revoked, and the file does not. Raises `RevocationsFault`."""
    of_agreements = [agreement_line(*each) for each in agreements.revocations(connection)]
    lines = [*of_agreements, *(identity_line(text) for text in identities.revocations(connection))]
    if lines:
        remember(path, lines)


def not_applied(connection: Connection, path: Path) -> list[str]:
    """The agreements that are in force though the file says that they are revoked. Changes nothing."""
    revoked = [line["agreement"] for line in remembered(path) if "agreement" in line]
    return [id_ for id_ in revoked if agreements.partner_of(connection, id_) is not None]


def _keyed(line: dict[str, str]) -> str:
    return line["agreement"] if "agreement" in line else line["identity"]


def _parsed(path: Path, content: bytes) -> list[dict[str, str]]:
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            fields = json.loads(line)
            kept = identity_line(fields["identity"]) if "identity" in fields else None
            found.append(kept or agreement_line(fields["agreement"], fields["reason"]))
        except (ValueError, KeyError, TypeError):
            raise RevocationsFault(f"{path} is damaged in line {number}: no revocation") from None
    return found
