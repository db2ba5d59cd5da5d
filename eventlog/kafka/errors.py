"""kafka-python's errors as those of `eventlog.protocol`."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors

from eventlog.protocol import AccessRefused, BadAddress, LogUnavailable

_REFUSALS = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.AuthorizationError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of kafka-python into `LogUnavailable`, `AccessRefused` or `BadAddress`."""
    try:
        yield
    except errors.KafkaError as error:
        if is_refusal(error):
            raise AccessRefused(f"Kafka refuses this client: {error}") from error
        raise LogUnavailable(f"Kafka: {error}") from error
    except ValueError as error:  # bootstrap servers that are no addresses
        raise BadAddress(f"Kafka: {error}") from error


def is_refusal(error: BaseException) -> bool:
    """Whether trying again would not help: a wrong password, or a certificate that one side does not accept."""
    cause = error.__context__ if error.__context__ is not None else next(iter(error.args), None)
    alert = isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or "")
    return alert or isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, _REFUSALS)
