"""Where a partner's word comes from: its API, or a bundle that was brought as a file. The bytes are the same."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WirePage:
    """JSON Lines and the `after` of the next request."""

    content: bytes
    next: str


class LogGone(Exception):
    """The log that a cursor belongs to is gone: entries must be read from the beginning."""


class NoHead(Exception):
    """The city has no head."""


class Source(Protocol):
    """One city's word under one agreement. Nothing of it is verified. Each method raises `PartnerError`.

    None always means: as it was the last time, or as far as there is anything.
    """

    resumes: bool
    """Whether a cursor of entries holds from one pull to the next; a bundle is read from its beginning."""

    def forget(self) -> None:
        """Take no answer for unchanged: what came before was not used, or is read again."""
        ...

    async def identity(self) -> str | None:
        """The identity document, or its revocation."""
        ...

    async def facts(self) -> bytes | None:
        """The city's `/v1/catalog`."""
        ...

    async def head(self) -> str | None:
        """The newest signed head. Raises `NoHead`."""
        ...

    async def entries(self, after: str | None) -> WirePage | None:
        """Entries after a cursor. Raises `LogGone`."""
        ...

    async def bodies(self, metric: str, after: int) -> WirePage | None:
        """Bodies of a metric after a sequence."""
        ...

    async def catalogue(self, hash_: str) -> bytes:
        """The catalogue with this hash, as far as the city says so."""
        ...

    async def heads(self, thumbprint: str) -> list[str]:
        """Heads of another city that this one has seen."""
        ...
