"""The log that every stream goes through: its Protocols, Kafka, and a log in memory for tests."""
