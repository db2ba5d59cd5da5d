"""What a message is: Avro schemas and their committed ids, the wire format, row views, and the metric catalogue."""
