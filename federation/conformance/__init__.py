"""Conformance: a partner that tries a node, and a node that lies to its partners (docs/conformance.md)."""
