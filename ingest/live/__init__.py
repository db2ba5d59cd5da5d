"""Sources that deliver while the node runs: adapters with one contract."""
