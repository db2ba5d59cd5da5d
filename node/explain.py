"""The text of an error that an operator can mend."""

import errno
import os
from collections.abc import Mapping

from errors import OperatorError
from eventlog.protocol import AccessRefused, DecidedBy, LogUnavailable

_NOT_INSTALLED = {
    "cv2": "pictures are not looked at here, for OpenCV is not installed: in containers, use the service `detect` or"
    " `cameras`, whose image has it; elsewhere, install sistercity[pictures]",
}
"""What a node may be installed without."""
_OF_FILES = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO),
    }
)
"""What is wrong with a file that the operator has named, or with its disk."""
_KAFKA_SETTINGS: Mapping[DecidedBy, str] = {
    "address": "SISTERCITY_KAFKA and SISTERCITY_KAFKA_SECURITY_PROTOCOL",
    "user": "SISTERCITY_KAFKA_USERNAME, SISTERCITY_KAFKA_PASSWORD and SISTERCITY_KAFKA_SASL_MECHANISM",
    "authority": "SISTERCITY_KAFKA_CA_FILE, and the names in SISTERCITY_KAFKA",
    "certificate": "SISTERCITY_KAFKA_CERT_FILE and SISTERCITY_KAFKA_KEY_FILE",
    "rights": "SISTERCITY_KAFKA_USERNAME; `sistercity topics plan` lists the rights that each role needs",
}


def explain(error: Exception) -> str | None:
    """What to print instead of a traceback, or None: then the error is a defect.

    The product's own errors carry their mark; those of libraries are listed here.
    """
    if isinstance(error, ModuleNotFoundError) and error.name in _NOT_INSTALLED:
        return _NOT_INSTALLED[error.name]
    import psycopg

    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return (
            "the database has no tables of ours, or those of another version: run `sistercity migrate`; if it says that"
            f" they are newer, install the program that migrated them ({str(error).splitlines()[0]})"
        )
    rights = psycopg.errors.InsufficientPrivilege
    if isinstance(error, PermissionError) and error.filename is not None:
        return _without_permission(error)
    if isinstance(error, OSError) and error.errno in _OF_FILES:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, OperatorError | PermissionError | psycopg.OperationalError | rights):
        return with_settings(error)
    # psycopg itself raises the bare class for a URL that it can't read; a subclass is the server's, for wrong SQL.
    return str(error) if type(error) is psycopg.ProgrammingError else None


def with_settings(error: Exception) -> str:
    """What an error says; one of this node's Kafka also with the settings that decide it."""
    decided_by = error.decided_by if isinstance(error, AccessRefused | LogUnavailable) else None
    return str(error) if decided_by is None else f"{error}: see {_KAFKA_SETTINGS[decided_by]}"


def _without_permission(error: PermissionError) -> str:
    return (
        f"{error.filename}: {error.strerror}: this process runs as user {os.geteuid()}, who must be able to read it and"
        " to enter its folders. Files made under umask 077 can be read by their owner alone: `chmod 644` the file, or"
        " give it to that user"
    )
