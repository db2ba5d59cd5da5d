"""Spoiled register files: refused in line and column, or read as independent code reads them."""

import csv
import io
import random
import unicodedata
from pathlib import Path

from ingest.register_rows import RegisterRows
from ingest.register_table import COLUMNS, blocks_of_file
from store.register import RegisterError
from tests.ingest.files.imports import peak_bytes
from tests.ingest.files.test_mutations import spoiled
from tests.ingest.small_city import city
from tests.soak import amount

FILES = amount(300, soak=20_000)
MOST_BYTES = 3_000_000
NAMES = ("Nguyễn Văn A", "\u0639\u0644\u06cc", "C-0815", "Phường 1")


def sound() -> str:
    rows = []
    for n in range(12):
        place = f"M-{n},energy.import,town-{'abc'[n % 3]},{NAMES[n % 4]},residential"
        rows.append(f"{place},20{10 + n}-01-01,{'2026-01-01' * (n % 2)},{n + 1}")
    return "\n".join([",".join((*COLUMNS, "power_kw")), *rows, ""])


def read(path: Path) -> list[tuple[str, ...]]:
    rows = RegisterRows(city())
    found: list[tuple[str, ...]] = []
    for block in map(rows.columns, blocks_of_file(path)):
        texts = (block.source, block.metric, block.district, block.contributor, block.class_)
        found += zip(*texts, map(str, block.fact or ()), strict=True)
    return found


def plain(text: str) -> str:
    digits = (str(int(letter)) if letter.isdecimal() else letter for letter in unicodedata.normalize("NFC", text))
    return "".join(digits).replace("\u0649", "\u06cc").replace("\u064a", "\u06cc").replace("\u0643", "\u06a9").strip()


def independently(content: bytes) -> list[tuple[str, ...]]:
    """The rows that are not blank, by the names in the first line; powers in W."""
    text = content.decode("utf-8-sig")
    found = []
    for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
        fields = {str(name).strip().lower(): plain(str(row[name] or "")) for name in row}
        if any(fields.values()):
            power = fields["power_kw"]
            watts = str(round(float(power) * 1000)) if power else "0"
            found.append((*(fields[name] for name in ("source", "metric", "district", "contributor", "class")), watts))
    return found


def test_no_spoiled_register_is_read_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "register.csv"
    path.write_text(sound(), encoding="utf-8")
    assert read(path) == independently(path.read_bytes())
    accepted = 0
    for seed in range(FILES):
        content = spoiled(sound().encode(), random.Random(seed))
        path.write_bytes(content)
        try:
            found = read(path)
        except RegisterError as error:
            assert error.line is not None, seed
            continue
        accepted += 1
        try:
            wanted = independently(content)
        except (csv.Error, ValueError, KeyError):
            assert {row[0] for row in found} <= {f"M-{n}" for n in range(12)}, (seed, content)
        else:
            assert found == wanted, (seed, content)
    assert accepted > FILES // 10


def test_a_spoiled_register_takes_no_more_memory_than_a_sound_one(tmp_path: Path) -> None:
    path = tmp_path / "register.csv"

    def attempt() -> None:
        try:
            read(path)
        except RegisterError:
            return

    for seed in range(amount(5, soak=200)):
        path.write_bytes(spoiled(sound().encode(), random.Random(f"memory {seed}")))
        assert peak_bytes(attempt) < MOST_BYTES
