"""Rubbish under the name of a table: every line of it is refused, in memory that does not grow with the file."""

import random
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.files.reading import Note
from ingest.tables.profile import Said
from ingest.tables.profile_file import load_profile, parse_profile
from ingest.tables.table import Table
from tests.ingest.files.imports import peak_bytes
from tests.ingest.tables.loads import LOADS
from tests.soak import amount

HEAD = b"lorry,time,kg\n"
DICE = random.Random(1)
LINES = amount(150, soak=1_500)
NUL, QUOTES, LONG = b"\0" * 20, b'"' * 21, b"a" * 5_000
RUBBISH: dict[str, Callable[[int], bytes]] = {
    "random bytes": lambda n: DICE.randbytes(30).replace(b"\n", b"x").replace(b"\r", b"x") + b"\xff",
    "no bytes": lambda n: NUL,
    "open quotes": lambda n: QUOTES,
    "lines that are too long": lambda n: LONG,
    "other times": lambda n: b"A,%d-13-45 99:99,1" % n,
    "no numbers": lambda n: b"A,2026-07-01 12:00,%dx" % n,
    "long numbers": lambda n: b"A,2026-07-01 12:00," + b"9" * 900,
    "too many fields": lambda n: b"," * 300,
    "new ids each": lambda n: b",2026-07-01 12:00,1",
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_is_refused_line_by_line_in_flat_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.tables.faults.MOST_KEPT", LINES // 4)  # texts that do not repeat are remembered
    monkeypatch.setattr("ingest.tables.times.MOST_KEPT", LINES // 4)
    monkeypatch.setattr("ingest.tables.text.BLOCK", 1 << 10)
    table = Table(parse_profile(LOADS, "loads", "loads.toml"), Said(), ZoneInfo("UTC"))
    path = tmp_path / "rubbish.csv"

    def peak(lines: int) -> int:
        path.write_bytes(HEAD + b"".join(RUBBISH[kind](n) + b"\n" for n in range(lines)))
        refused = 0

        def read() -> None:
            nonlocal refused
            for piece in table.pieces(path):
                if not isinstance(piece, Note):
                    assert sum(map(len, piece.readings)) == 0
                    refused += len(piece.refused)

        found = peak_bytes(read)
        assert refused == lines
        return found

    assert peak(4 * LINES) < 1.5 * peak(LINES) + 20_000


@pytest.mark.parametrize("name", ["bigbelly", "nem12", "fluvius", "half-hours-by-day"])
def test_a_file_of_another_kind_is_refused_by_every_profile(name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + DICE.randbytes(200_000))
    table = Table(load_profile(name), Said(), ZoneInfo("UTC"))
    try:
        pieces = [piece for piece in table.pieces(path) if not isinstance(piece, Note)]
    except Exception as error:
        assert type(error).__name__ == "NotSuchFile"
        assert path.name in str(error)
    else:
        assert sum(len(readings) for piece in pieces for readings in piece.readings) == 0
        assert sum(len(piece.refused) for piece in pieces) > 0
