"""How long a test runs: a short seed in `make test`, the long run in `make soak`, both with the same code."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import settings

SOAKING = os.environ.get("SISTERCITY_SOAK") == "1"
"""`make soak` sets it."""

CONTAINERS = os.environ.get("SISTERCITY_CONTAINERS") == "1"
"""`make containers` sets it."""

soak = pytest.mark.soak
"""Marks a test that `make soak` runs for longer than `make test` does. Every property test is marked by itself.

`soak(minutes=3)` says about how long it takes there, with other workers on two cores: files that take long begin first.
"""

soak_only = pytest.mark.soak_only
"""Marks a test that only `make soak` runs, because `make test` runs the same code on a smaller case."""

Amount = TypeVar("Amount")


def amount(test: Amount, *, soak: Amount) -> Amount:
    """How many kills, hours or seeds: in `make test`, and in `make soak`."""
    return soak if SOAKING else test


def examples(test: int, *, soak: int, minutes: float = 0) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """How many examples a property test tries, where it should not be the number of the profile; and see `soak`."""
    marked = pytest.mark.soak(minutes=minutes)
    return lambda test_: marked(settings(max_examples=amount(test, soak=soak))(test_))


PROFILE = settings(max_examples=amount(15, soak=250), deadline=None)
"""Without deadlines: on a loaded machine an example takes as long as it takes."""
