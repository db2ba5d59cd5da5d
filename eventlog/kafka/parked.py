"""Fetched records of paused partitions, which kafka-python keeps aside and may never give back.

It keeps one partition's records in line, and takes those of a resumed partition back when nothing is in line. Records
that were read to their end stay in line until other records come; so the resumed partition, which is not fetched
either while records of it are kept, waits for ever if no other partition has new ones.
"""

from kafka import KafkaConsumer


def clear_the_line(consumer: KafkaConsumer) -> None:
    """Let the next poll take back the records of resumed partitions, if those in line are read to their end."""
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None
