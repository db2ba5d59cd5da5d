"""`eventlog.protocol` on Kafka with librdkafka (confluent-kafka) where messages are read and written in bulk."""

from eventlog.confluent.log import ConfluentLog

__all__ = ["ConfluentLog"]
