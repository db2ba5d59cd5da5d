"""Try a node: every check, in order, and a table of what came of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from errors import OperatorError
from federation.conformance import entry, limits, public, reading
from federation.conformance.visit import NotTried, Visit
from federation.publications.entries import BadEntry
from federation.strict_json import BadJson

Check = Callable[[Visit], Awaitable[None]]
CHECKS: tuple[Check, ...] = (*public.CHECKS, *entry.CHECKS, *reading.CHECKS, *limits.CHECKS)

_FAULTS = (OperatorError, BadEntry, BadJson, ValidationError, KeyError, ValueError, TypeError)
"""What a check raises at an answer that is not as it must be."""


@dataclass(frozen=True, slots=True)
class TriedCheck:
    """What came of a check: its name, what must hold in words, and why it failed or was not tried."""

    name: str
    promise: str
    result: Literal["passed", "failed", "not tried"]
    detail: str = ""


async def try_node(visit: Visit) -> list[TriedCheck]:
    """Try a node as a partner would. Each check stands for itself: one that fails ends no other."""
    return [await try_check(check, visit) for check in CHECKS]


async def try_check(check: Check, visit: Visit) -> TriedCheck:
    """What comes of one check."""
    name, promise = check.__name__.replace("_", " "), check.__doc__ or ""
    try:
        await check(visit)
    except NotTried as error:
        return TriedCheck(name, promise, "not tried", str(error))
    except _FAULTS as error:
        words = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        return TriedCheck(name, promise, "failed", ascii(words.splitlines()[0][:200])[1:-1])
    return TriedCheck(name, promise, "passed")


def table(tried: list[TriedCheck]) -> str:
    """The outcomes as text: a line for each check, and what failed below it."""
    width = max(len(check.name) for check in tried)
    lines = []
    for check in tried:
        lines.append(f"{check.result:<10} {check.name:<{width}}  {check.promise}")
        if check.detail:
            lines.append(f"{'':<10} {'':<{width}}  {check.detail}")
    counts = [
        f"{sum(check.result == result for check in tried)} {result}" for result in ("passed", "failed", "not tried")
    ]
    return "\n".join([*lines, ", ".join(counts)])
