"""The log that every stream goes through: what it promises, Kafka, and one in memory for tests."""
