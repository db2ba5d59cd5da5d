"""The stage of `tests/federation`, on which a partner does what its alert is for."""

from tests.federation.conftest import stage, theatre

__all__ = ["stage", "theatre"]
