"""Codecs and device files of the package: our own; docs/devices.md says after what."""
