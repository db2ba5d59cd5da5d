"""The log on Apache Kafka. kafka-python ships no types: this package alone imports it."""

from eventlog.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
