"""The partner client: what other cities publish, verified and stored."""
