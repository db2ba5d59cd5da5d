"""Throughput, measured against something in the same run. `make bench` runs them."""
