"""What a partner may cost, and how it is reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from errors import OperatorError

MIB = 2**20
QUICK_ATTEMPTS = 3


class PartnerError(OperatorError):
    """A partner can't be pulled: it does not answer, or sends what it must not. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of what a partner may cost. Times are seconds.

    One request with its answer takes at most `deadline_s`; a partner that sends nothing for `silence_s` is given up. An
    answer has at most `bytes` (a page of bodies), `catalogue_bytes` or `small_bytes` (everything else but entries). A
    request is tried again for `patience_s`, and `attempts` times at most; before the nth retry it waits for
    `backoff_s` * 2^(n-1), at most `backoff_cap_s`, less a random part up to its half. That is one pull, and outlasts
    the upgrade of a partner. With several addresses, all but the last are tried `QUICK_ATTEMPTS` times. A pull takes at
    most `turn_s`, `entry_bytes` of entries (on disk until they are verified), `turn_bytes` in all and `catalogues` new
    catalogues; what is left follows at the next one. `lines` is asked for at once.
    """

    bytes: int = 32 * MIB
    catalogue_bytes: int = 16 * MIB
    small_bytes: int = MIB
    entry_bytes: int = 512 * MIB
    turn_bytes: int = 4096 * MIB
    catalogues: int = 200
    deadline_s: float = 120.0
    silence_s: float = 30.0
    turn_s: float = 900.0
    attempts: int = 20
    patience_s: float = 60.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 10.0
    lines: int = 1000


@dataclass(frozen=True, slots=True)
class Network:
    """How partners are reached: authorities besides the system's, a proxy, headers that each request gets, and whether
    addresses inside private networks may be connected to."""

    ca_file: Path | None = None
    proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    private_addresses: bool = False
