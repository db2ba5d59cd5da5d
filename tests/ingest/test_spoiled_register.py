"""Spoiled registers: no crash, and no row that independent code does not find in the file."""

import csv
import io
import random
import unicodedata
from pathlib import Path

from ingest.register_rows import RegisterRows
from ingest.register_table import COLUMNS, blocks_of_file
from store.register_columns import RegisterError
from tests.ingest.files.imports import peak_bytes
from tests.ingest.files.spoiling import FILES, spoiled
from tests.ingest.small_city import city
from tests.soak import amount, soak

MOST_BYTES = 3_000_000
PREMISES = ("Phường 1", "Phu\u031bo\u031b\u0300ng 1 ", "خانهٔ يك", "خانهٔ یک", "C-3", "Quán ăn ۵", "Quán ăn 5", "C-6")
LINES = [f"M-{n},energy.import,town-a,{name},residential,2026-01-01," for n, name in enumerate(PREMISES)]
SOUND = (",".join(COLUMNS) + "\n" + "".join(f"{line}\n" for line in LINES)).encode()

Row = tuple[str, ...]


def loaded(path: Path) -> list[Row] | None:
    """Source, metric, district, contributor and class of each row; None if the file is refused."""
    rows = RegisterRows(city())
    found: list[Row] = []
    try:
        for block in blocks_of_file(path):
            columns = rows.columns(block)
            places = (columns.places[place] for place in columns.place.tolist())
            ids = zip(columns.source.strings(), columns.contributor.strings(), places, strict=True)
            found += [(source, place[0], place[1], contributor, place[2]) for source, contributor, place in ids]
    except RegisterError as error:
        assert error.line is not None  # an operator is told where
        return None
    return found


def folded(text: str) -> str:
    """An id in the form that counts, written down anew: NFC, Persian letters, digits 0 to 9, no blanks around it."""
    text = unicodedata.normalize("NFC", text.strip())
    text = text.replace("ي", "ی").replace("ى", "ی").replace("ك", "ک")
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text).strip()


def independent(content: bytes) -> set[Row]:
    """The same rows, by the names of their columns. Raises any exception for what is not plain CSV."""
    lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if any(line)]
    names = [folded(name).lower() for name in lines[0]]
    return {
        tuple(folded(line[names.index(column)]) for column in ("source", "metric", "district", "contributor", "class"))
        for line in lines[1:]
    }


@soak
def test_no_spoiled_register_gives_a_row_that_is_not_in_it(tmp_path: Path) -> None:
    path = tmp_path / "register.csv"
    path.write_bytes(SOUND)
    sound = loaded(path)
    assert sound is not None
    assert set(sound) == independent(SOUND)
    assert len({row[3] for row in sound}) == 5
    accepted = 0
    for seed in range(FILES):
        content = spoiled(SOUND, random.Random(f"register {seed}"))
        path.write_bytes(content)
        found = loaded(path)
        if found is None:
            continue
        accepted += 1
        try:
            wanted = independent(content)
        except Exception:  # it may have other lines, but no other rows
            assert set(found) <= set(sound), (seed, content)
        else:
            assert set(found) == wanted, (seed, content)
    assert accepted


@soak
def test_a_spoiled_register_takes_no_more_memory_than_a_sound_one(tmp_path: Path) -> None:
    path = tmp_path / "register.csv"
    for seed in range(amount(5, soak=200)):
        path.write_bytes(spoiled(SOUND, random.Random(f"memory {seed}")))
        assert peak_bytes(lambda: loaded(path)) < MOST_BYTES
