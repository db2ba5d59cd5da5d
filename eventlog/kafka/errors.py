"""kafka-python's errors as those of `eventlog.protocol`."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors

from eventlog.protocol import AccessRefused, BadAddress, DecidedBy, LogUnavailable

_OF_USERS = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of kafka-python into `LogUnavailable`, `AccessRefused` or `BadAddress`."""
    try:
        yield
    except errors.KafkaError as error:
        by = refused_by(error)
        if by is None:
            raise LogUnavailable(f"Kafka: {error}") from error
        who = "this client refuses Kafka's certificate" if by == "authority" else "Kafka refuses this client"
        raise AccessRefused(f"{who}: {error}", by) from error
    except ValueError as error:  # bootstrap servers that are no addresses
        raise BadAddress(f"Kafka: {error}") from error


def refused_by(error: BaseException) -> DecidedBy | None:
    """Why trying again would not help: a wrong password, or a certificate that one side does not accept."""
    cause = error.__context__ if error.__context__ is not None else next(iter(error.args), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "authority"
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return "certificate"
    if isinstance(error, errors.AuthorizationError):
        return "rights"
    return "user" if isinstance(error, _OF_USERS) else None
