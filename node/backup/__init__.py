"""Backups of a city: the file, taking one, and restoring it."""
