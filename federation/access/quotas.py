"""How much a partner may ask for: requests a minute, bytes an hour and requests at once, as its agreement says.

Counted in this process, in windows that begin with a partner's first request: counting in the database would cost each
request a write there, to protect the very database. With several processes each grants the whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from store.access import Access

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_TOKENS_PER_MINUTE = 30
_SOON_S = 1
_MOST_COUNTED = 1000
"""Agreements. Of more, those whose windows are over are forgotten."""


class LimitReached(Exception):
    """A limit of the agreement is reached; after `retry_after_s` whole seconds another request may be answered."""

    def __init__(self, words: str, retry_after_s: int) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Window:
    """A count that begins anew once its time is over. Times in ms since 1970, UTC."""

    length: int
    ends: int = 0
    count: int = 0

    def counted(self, now: int) -> int:
        return self.count if now < self.ends else 0

    def add(self, now: int, amount: int = 1) -> None:
        if now >= self.ends:
            self.ends, self.count = now + self.length, 0
        self.count += amount

    def reached(self, now: int, words: str) -> LimitReached:
        return LimitReached(words, max(_SOON_S, ceil((self.ends - now) / 1000)))


@dataclass(slots=True)
class _Counts:
    """What one agreement has asked for."""

    requests: _Window = field(default_factory=lambda: _Window(_MINUTE_MS))
    bytes: _Window = field(default_factory=lambda: _Window(_HOUR_MS))
    tokens: _Window = field(default_factory=lambda: _Window(_MINUTE_MS))
    at_once: int = 0

    def is_over(self, now: int) -> bool:
        return not self.at_once and all(now >= window.ends for window in (self.requests, self.bytes, self.tokens))


class Quotas:
    """Counts for all agreements. Used from one thread. `clock` gives milliseconds since 1970, UTC."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._counts: dict[str, _Counts] = {}

    def check(self, access: Access) -> None:
        """Raises `LimitReached` if one more request would exceed a limit. Counts nothing."""
        self._check(access, self._of(access), self._clock())

    def enter(self, access: Access) -> None:
        """Count a request that begins; `leave` must follow. Raises `LimitReached`, and counts nothing then."""
        counts, now = self._of(access), self._clock()
        self._check(access, counts, now)
        counts.requests.add(now)
        counts.at_once += 1

    def leave(self, access: Access) -> None:
        """Count a request as over: its answer was sent, or the partner has gone."""
        self._of(access).at_once -= 1

    def give_back(self, access: Access) -> None:
        """Take back the count of a request that has left and comes again in another way."""
        requests = self._of(access).requests
        requests.count = max(0, requests.count - 1)

    def count_bytes(self, access: Access, count: int) -> None:
        """Count the content of an answer. One answer may exceed the limit; the next is refused."""
        self._of(access).bytes.add(self._clock(), count)

    def check_token(self, access: Access) -> None:
        """Raises `LimitReached` if 30 tokens were issued within a minute, whatever the agreement says."""
        tokens, now = self._of(access).tokens, self._clock()
        if tokens.counted(now) >= _TOKENS_PER_MINUTE:
            raise tokens.reached(now, "a token is good for many requests until it ends")

    def count_token(self, access: Access) -> None:
        """Count a token that was issued. One that was refused is not counted: a stranger may repeat an assertion."""
        self._of(access).tokens.add(self._clock())

    def _check(self, access: Access, counts: _Counts, now: int) -> None:
        if counts.requests.counted(now) >= access.requests_per_minute:
            raise counts.requests.reached(now, f"the agreement allows {access.requests_per_minute} requests a minute")
        if counts.bytes.counted(now) >= access.bytes_per_hour:
            raise counts.bytes.reached(now, f"the agreement allows {access.bytes_per_hour} bytes an hour")
        if counts.at_once >= access.concurrent_requests:
            raise LimitReached(f"the agreement allows {access.concurrent_requests} requests at once", _SOON_S)

    def _of(self, access: Access) -> _Counts:
        counts = self._counts.get(access.agreement)
        if counts is None:
            if len(self._counts) >= _MOST_COUNTED:
                now = self._clock()
                self._counts = {name: counts for name, counts in self._counts.items() if not counts.is_over(now)}
            counts = self._counts[access.agreement] = _Counts()
        return counts
