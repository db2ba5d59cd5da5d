"""One module a command. Each imports its rooms when it runs: a partner's install has no Kafka and no numpy."""
