"""Payload decoders in JavaScript (LoRa Alliance TS013), run in a sandbox, and what their fields are as readings."""
