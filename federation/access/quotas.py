"""How much a partner may ask for: requests a minute, bytes an hour and requests at once, as its agreement says.

Counted in this process, in windows that begin with a partner's first request: counting in the database would cost each
request a write there, to protect the very database. With several processes each grants the whole.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from time import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from store.access import Access

_TOKENS_PER_MINUTE = 30
_SOON_S = 1
_MOST_WINDOWS = 1000
"""Of more, those that are over are forgotten."""


class LimitReached(Exception):
    """A limit of the agreement is reached; after `retry_after_s` whole seconds another request may be answered."""

    def __init__(self, words: str, retry_after_s: int) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s


class _Keyed(RateLimitItem):
    """A limit of one agreement.

    The library makes the key of a window anew each time it counts, and of the amount too: a renewed limit would begin
    another window.
    """

    __slots__ = ("_key",)

    def __init__(self, amount: int, namespace: str, agreement: str) -> None:
        super().__init__(amount, namespace=namespace)
        self._key = f"{namespace} {agreement}"

    def key_for(self, *_: object) -> str:
        """The name of the window."""
        return self._key


class _PerMinute(_Keyed, RateLimitItemPerMinute): ...


class _PerHour(_Keyed, RateLimitItemPerHour): ...


@dataclass(frozen=True, slots=True)
class _Limits:
    """What may be counted in one window of each kind."""

    requests: RateLimitItem
    bytes: RateLimitItem
    tokens: RateLimitItem


@lru_cache(maxsize=_MOST_WINDOWS)
def _limits(access: Access) -> _Limits:
    name = access.agreement
    return _Limits(
        _PerMinute(access.requests_per_minute, "requests", name),
        _PerHour(access.bytes_per_hour, "bytes", name),
        _PerMinute(_TOKENS_PER_MINUTE, "tokens", name),
    )


class CountedWindows(Storage):
    """Counts in memory. The library's own storage starts a thread to clean up, again and again while it counts."""

    STORAGE_SCHEME = ["counted-windows"]  # noqa: RUF012

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the methods raise."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """The count with `amount`, in a window of `expiry` seconds that begins now unless one is open; 0 at least."""
        ends, count = self._counts.get(key, (0.0, 0))
        now = self._clock()
        if ends <= now:
            if len(self._counts) > _MOST_WINDOWS:
                self._counts = {key: counted for key, counted in self._counts.items() if counted[0] > now}
            ends, count = now + expiry, 0
        count = max(0, count + amount)
        self._counts[key] = ends, count
        return count

    def get(self, key: str) -> int:
        """The count in the open window."""
        ends, count = self._counts.get(key, (0.0, 0))
        return count if ends > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since 1970."""
        return self._counts.get(key, (self._clock(), 0))[0]

    def check(self) -> bool:
        """Whether it works."""
        return True

    def reset(self) -> int:
        """Forget all."""
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one."""
        self._counts.pop(key, None)


class Quotas:
    """Counts for all agreements. Used from one thread. `clock` gives seconds since 1970, UTC."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._windows = FixedWindowRateLimiter(CountedWindows(clock))
        self._at_once: Counter[str] = Counter()

    def check(self, access: Access) -> None:
        """Raises `LimitReached` if one more request would exceed a limit. Counts nothing."""
        if not self._windows.test(_limits(access).requests):
            raise self._too_many(access)
        self._check_others(access)

    def enter(self, access: Access) -> None:
        """Count a request that begins; `leave` must follow. Raises `LimitReached`, and counts nothing then."""
        self._check_others(access)
        if not self._windows.hit(_limits(access).requests):
            self.give_back(access)
            raise self._too_many(access)
        self._at_once[access.agreement] += 1

    def leave(self, access: Access) -> None:
        """Count a request as over: its answer was sent, or the partner has gone."""
        self._at_once[access.agreement] -= 1
        if not self._at_once[access.agreement]:
            del self._at_once[access.agreement]

    def give_back(self, access: Access) -> None:
        """Take back the count of a request that has left and comes again in another way."""
        self._windows.hit(_limits(access).requests, cost=-1)

    def count_bytes(self, access: Access, count: int) -> None:
        """Count the content of an answer. One answer may exceed the limit; the next is refused."""
        self._windows.hit(_limits(access).bytes, cost=count)

    def check_token(self, access: Access) -> None:
        """Raises `LimitReached` if 30 tokens were issued within a minute, whatever the agreement says."""
        tokens = _limits(access).tokens
        if not self._windows.test(tokens):
            raise self._reached(tokens, "a token is good for many requests until it ends")

    def count_token(self, access: Access) -> None:
        """Count a token that was issued. One that was refused is not counted: a stranger may repeat an assertion."""
        self._windows.hit(_limits(access).tokens)

    def _check_others(self, access: Access) -> None:
        """Raises `LimitReached` if the bytes of an hour are given, or too many requests are in."""
        of_bytes = _limits(access).bytes
        if not self._windows.test(of_bytes):
            raise self._reached(of_bytes, f"the agreement allows {access.bytes_per_hour} bytes an hour")
        if self._at_once[access.agreement] >= access.concurrent_requests:
            words = f"the agreement allows {access.concurrent_requests} requests at once"
            raise LimitReached(words, _SOON_S)

    def _too_many(self, access: Access) -> LimitReached:
        words = f"the agreement allows {access.requests_per_minute} requests a minute"
        return self._reached(_limits(access).requests, words)

    def _reached(self, limit: RateLimitItem, words: str) -> LimitReached:
        left_s = self._windows.get_window_stats(limit).reset_time - self._clock()
        return LimitReached(words, max(_SOON_S, ceil(left_s)))
