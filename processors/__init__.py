"""Kafka to windows to cells: the fold over a partition's log, the reductions, and the loop that runs them."""
