"""Spoiled files: no crash, and no amount that differs from what independent code finds without a word about it."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest

from ingest.files.reading import NotSuchFile
from tests.ingest.files.imports import imported, peak_bytes, register, rows
from tests.ingest.files.independent import KINDS, Kind
from tests.ingest.files.spoiling import FILES, spoiled
from tests.soak import amount, soak

MOST_BYTES = 3_000_000

NUMBERS = {"smart-bins": "0 2 4 6 8 10 3 5", "lorawan": "100 2000 1250 1300 900 40 1700 2100"}


def what_comes(kind: Kind, path: Path) -> tuple[Counter[int], set[str]]:
    """The values of the readings that count, and what the operator was told of the file."""
    try:
        report, writer, _ = imported(kind.form(), path, register(*kind.sources), source="source")
    except NotSuchFile:
        return Counter(), {"refused"}
    told = {*report.refused, *report.empty, *report.notes} - {"not-collected"}
    return Counter(value for _, value in rows(writer)), told


@soak(minutes=1.5)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_spoiled_file_changes_an_amount_without_a_word(kind: Kind, tmp_path: Path) -> None:
    numbers = NUMBERS.get(kind.name, "1.5 12.25 0.75 8 40.01 3.5 7.25 6 11 19.5 2.25 8.75").split()
    sound = kind.write(numbers, 3)
    original = Counter(kind.read(sound))
    path = tmp_path / "file"
    path.write_bytes(sound)
    sent, usual = what_comes(kind, path)
    assert sent == original
    for seed in range(FILES):
        dice = random.Random(f"{kind.name} {seed}")
        content = spoiled(sound, dice)
        path.write_bytes(spoiled(gzip.compress(content, mtime=0), dice) if dice.random() < 0.05 else content)
        sent, told = what_comes(kind, path)
        if told - usual:  # such as a reason, or an interval that the few times that are left tell
            continue
        try:
            packed = path.read_bytes()
            wanted = Counter(kind.read(gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed))
        except Exception:  # it may have other lines, but no other amounts
            assert sent.keys() <= original.keys(), (seed, content)
        else:
            assert sent == wanted, (seed, content)


@soak
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_spoiled_file_takes_no_more_memory_than_a_sound_one(kind: Kind, tmp_path: Path) -> None:
    sound = kind.write(NUMBERS.get(kind.name, "1.5 12.25 0.75 8 40.01 3.5 7.25 6").split(), 3)
    path = tmp_path / "file"
    for seed in range(amount(5, soak=200)):
        path.write_bytes(spoiled(sound, random.Random(f"memory {kind.name} {seed}")))
        assert peak_bytes(lambda: what_comes(kind, path)) < MOST_BYTES
