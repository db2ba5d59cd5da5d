"""Codecs and device files of the package: our own, written after the vendors' payload tables (docs/devices.md)."""
