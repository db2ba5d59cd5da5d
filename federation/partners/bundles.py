"""A city's word as a file, for partners without a network between them: the same bytes as over HTTP, and as little
trusted.

A tar archive: `bundle.json` (format and agreement), `identity.jws`, `catalog.json`, `head.jws`, `entries.jsonl`,
`catalogues/<hash>.json`, `bodies/<metric>.jsonl`. It holds what the agreement lets the partner read, at one moment.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import IsolationLevel

from errors import OperatorError
from federation.access.recording import record_file
from federation.city import CityFacts
from federation.partners.checks import LONGEST_ENTRY, sequence_of
from federation.partners.limits import MIB, FetchLimits, PartnerError
from federation.partners.source import WirePage
from federation.publications.entries import FORMAT, entry_of
from federation.strict_json import BadJson, dumps, loads
from store import agreed
from store.database import DatabaseUrl, connect

_PAGE_BYTES = 8 * MIB
_LINES = 1000


class BadBundle(OperatorError):
    """The file can't be made or is no bundle; the text says why."""


def export_bundle(database_url: DatabaseUrl, agreement: str, city: CityFacts, path: Path) -> tuple[int, int]:
    """Write what a partner may read under an agreement; returns how many entries and bodies. Raises `BadBundle`.

    The file is for the partner's eyes, as the answers of the API are, and has its line in the audit.
    """
    with connect(database_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction(), path.open("xb") as file, tarfile.open(fileobj=file, mode="w") as archive:
            metrics = agreed.agreed_metrics(connection, agreement)
            identity, head = agreed.own_identity(connection), agreed.newest_head(connection)
            if not metrics or identity is None or head is None:
                raise BadBundle(
                    "a bundle needs an agreement in force that gives something, an identity document of this city, and"
                    " a signed head: `sistercity doctor` says what is missing"
                )
            _add(archive, "bundle.json", dumps({"format": FORMAT, "agreement": agreement}))
            _add(archive, "identity.jws", identity.encode())
            _add(archive, "catalog.json", dumps({"city": _facts(city)}))
            _add(archive, "head.jws", head.encode())
            lines = list(_entries(connection, agreement))
            _add(archive, "entries.jsonl", _joined(lines))
            for hash_ in sorted({entry_of(line).catalogue for line in lines}):
                content = agreed.catalogue(connection, hash_)
                if content is not None:
                    _add(archive, f"catalogues/{hash_}.json", content)
            count = 0
            for metric in sorted(metrics):
                bodies = list(_bodies(connection, agreement, metric))
                _add(archive, f"bodies/{metric}.jsonl", _joined(bodies))
                count += len(bodies)
    try:
        record_file(database_url, agreement, path)
    except psycopg.Error:
        path.unlink()  # nothing is given that is not recorded
        raise
    return len(lines), count


@contextmanager
def opened_bundle(path: Path, limits: FetchLimits) -> Iterator["Bundle"]:
    """A bundle to be read. Raises `BadBundle`."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            yield Bundle(archive, limits)
    except (tarfile.TarError, OSError) as error:
        raise BadBundle(f"{path} is no bundle: {error}") from None


class Bundle:
    """Implements `Source` from a file."""

    resumes = False

    def __init__(self, archive: tarfile.TarFile, limits: FetchLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._bodies: dict[str, IO[bytes]] = {}
        try:
            found: Any = loads(self._content("bundle.json", MIB))
            if found["format"] != FORMAT or not isinstance(found["agreement"], str):
                raise ValueError
        except (BadJson, ValueError, KeyError, TypeError, PartnerError):
            raise BadBundle("the file is no bundle, or one of a later version") from None
        self.agreement: str = found["agreement"]

    def forget(self) -> None:
        """As `Source`: a file is read whole every time."""

    async def identity(self) -> str | None:
        """As `Source`."""
        return self._content("identity.jws", self._limits.small_bytes).decode("ascii", "replace")

    async def facts(self) -> bytes | None:
        """As `Source`."""
        return self._content("catalog.json", self._limits.catalogue_bytes)

    async def head(self) -> str | None:
        """As `Source`."""
        return self._content("head.jws", self._limits.small_bytes).decode("ascii", "replace")

    async def entries(self, after: str | None) -> WirePage | None:
        """As `Source`; the cursor is a place in the file."""
        file = self._file("entries.jsonl")
        file.seek(0 if after is None else int(after))
        lines = _lines(file, LONGEST_ENTRY, self._limits.lines)
        return WirePage(b"".join(lines), str(file.tell()))

    async def bodies(self, metric: str, after: int) -> WirePage | None:
        """As `Source`."""
        file = self._bodies.setdefault(metric, self._file(f"bodies/{metric}.jsonl"))
        lines: list[bytes] = []
        while not lines:
            read = _lines(file, self._limits.bytes, self._limits.lines)
            if not read:
                return None
            lines = [line for line in read if sequence_of(line) > after]
        return WirePage(b"".join(lines), str(sequence_of(lines[-1])))

    async def catalogue(self, hash_: str) -> bytes:
        """As `Source`."""
        return self._content(f"catalogues/{hash_}.json", self._limits.catalogue_bytes)

    async def heads(self, thumbprint: str) -> list[str]:
        """As `Source`: a bundle holds none."""
        return []

    def _file(self, name: str) -> IO[bytes]:
        try:
            file = self._archive.extractfile(name)
        except (KeyError, tarfile.TarError):
            file = None
        if file is None:
            raise PartnerError("refused", f"the bundle has no {name}")
        return file

    def _content(self, name: str, most: int) -> bytes:
        content = self._file(name).read(most + 1)
        if len(content) > most:
            raise PartnerError("too-large", f"{name} in the bundle has more than {most} bytes")
        return content


def _lines(file: IO[bytes], longest: int, most: int) -> list[bytes]:
    """The next lines with their ends: at most so many, and at most 8 MiB unless it is one."""
    lines: list[bytes] = []
    size = 0
    while len(lines) < most and size < _PAGE_BYTES and (line := file.readline(longest + 2)):
        lines.append(line)
        size += len(line)
    return lines


def _entries(connection: Any, agreement: str) -> Iterator[bytes]:
    position = 0
    while True:
        lines, position = agreed.entries(connection, agreement, position, _LINES)
        if not lines:
            return
        yield from lines


def _bodies(connection: Any, agreement: str, metric: str) -> Iterator[bytes]:
    after = 0
    while True:
        page, bodies = agreed.read_page(connection, agreed.BodiesAsked(agreement, metric, after, _LINES))
        if page.last is None:
            return
        yield from bodies
        after = page.last


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _facts(city: CityFacts) -> dict[str, Any]:
    return {
        "id": city.id,
        "name": city.name,
        "names": dict(city.names),
        "country": city.country,
        "zone": city.zone,
        "population": city.population,
        "districts": city.districts,
        "sources": list(city.sources),
    }
