"""Pulling by address, without agreements: goes as soon as the demo has agreements."""
