"""The composition root: settings, wiring, and the `sistercity` command."""
