"""How long a test runs: a short seed in `make test`, the long run in `make soak`, both with the same code."""

import os
from typing import TypeVar

import pytest

SOAKING = os.environ.get("SISTERCITY_SOAK") == "1"
"""`make soak` sets it."""

soak = pytest.mark.soak
"""Marks a test that `make soak` runs for longer than `make test` does."""

Amount = TypeVar("Amount")


def amount(test: Amount, soak: Amount) -> Amount:
    """How many kills, examples, hours or seeds: in `make test`, and in `make soak`."""
    return soak if SOAKING else test
