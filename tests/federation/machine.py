"""What the state machines of the exchange share: one database for all examples, and checks after what has changed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from hypothesis.stateful import RuleBasedStateMachine, invariant

from federation.partners.database import Threads
from store.database import Connection, connect
from tests.federation.talking import agree, forget_everything

Area = Literal["agreements", "received", "ours", "audit"]
"""What is agreed, what partners have sent, what we have published, what was given."""


@dataclass(frozen=True)
class Ground:
    """Our database, a connection to it, and what the puller runs on: opened once for all examples."""

    url: str
    connection: Connection
    threads: Threads
    loop: asyncio.Runner


@contextmanager
def ground(url: str) -> Iterator[Ground]:
    with connect(url) as connection, Threads(url) as threads, asyncio.Runner() as loop:
        yield Ground(url, connection, threads, loop)


class Grounded(RuleBasedStateMachine):
    """We have agreed on nothing yet. A rule that changes an area of the database says so, see `touch`."""

    ground: Ground

    def __init__(self) -> None:
        super().__init__()
        self._touched: Counter[Area] = Counter()
        self._checked: dict[str, list[int]] = {}
        self.connection = self.ground.connection
        forget_everything(self.connection)
        agree(self.ground.url)

    def touch(self, area: Area) -> None:
        self._touched[area] += 1

    def changed(self, check: str, areas: tuple[Area, ...]) -> bool:
        """Whether one of the areas was touched since this was asked for the same check."""
        before, now = self._checked.get(check), [self._touched[area] for area in areas]
        self._checked[check] = now
        return before != now


def holds(*areas: Area) -> Callable[[Callable[[Any], None]], Any]:
    """An invariant of these areas alone: it is checked at first, and after each step that has touched one of them."""

    def made(check: Callable[[Any], None]) -> Any:
        @wraps(check)
        def after_changes(self: Grounded) -> None:
            if self.changed(check.__name__, areas):
                check(self)

        return invariant()(after_changes)

    return made
