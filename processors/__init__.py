"""From the log to windows to cells: the fold over a partition, the reductions, and the loop that runs them."""
