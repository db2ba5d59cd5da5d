"""librdkafka's errors as those of `eventlog.protocol`."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from eventlog.protocol import AccessRefused, LogUnavailable

_REFUSALS = frozenset({
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
})  # fmt: skip


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of librdkafka into `LogUnavailable` and `AccessRefused`."""
    try:
        yield
    except KafkaException as error:
        raise of_protocol(error.args[0]) from error


def of_protocol(error: KafkaError) -> LogUnavailable | AccessRefused:
    """What an error of librdkafka means."""
    if error.code() in _REFUSALS:
        return AccessRefused(f"Kafka refuses this client: {error.str()}")
    return LogUnavailable(f"Kafka: {error.str()}")
