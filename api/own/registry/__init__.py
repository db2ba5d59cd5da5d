"""The committed schemas in the REST protocol of Confluent's schema registry, read-only."""
