"""Real files as sources: one module a kind of file, and one way for all of them into the log."""
