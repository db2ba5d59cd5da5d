"""Other systems on the topics of `benchmarks.energy`, in the same run. `make bench-peers` runs them."""
