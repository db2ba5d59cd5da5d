"""Topics of a Kafka that the city already runs, as live sources."""
