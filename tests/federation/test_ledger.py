"""The ledger: a chain of entries in a file that one process at a time may continue."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.publications.chain import ChainEnd
from federation.publications.entries import (
    BadEntry,
    PublicationEntry,
    body_bytes,
    cells_of,
    digest,
    entry_bytes,
    entry_of,
)
from federation.publications.ledger import (
    Beginning,
    Ledger,
    LedgerFault,
    begin_ledger,
    read_entries,
    read_ledger,
    set_aside,
)
from federation.publications.recovery import missing_entries
from federation.wire import Publication
from store.publications import Header, Kind, PublishedCell, Window
from store.recovery import LogFacts

HOUR = 3_600_000
BEGINNING = Beginning("isfahan", "6c1f2c1e-8f2a-4b6e-9d57-0a4f4f1c2b3d")


def entry(position: int, sequence: int, before: str | None, metric: str = "energy.import", kind: Kind = "publication"):
    window = Window(position * HOUR, (position + 1) * HOUR)
    header = Header(position, metric, sequence, window, 0, (position + 3) * HOUR, kind)
    return PublicationEntry("isfahan", header, before, digest(b"body"), digest(b"catalogue"))


def chain(count: int, before: str | None = None) -> list[tuple[PublicationEntry, bytes]]:
    found = []
    for number in range(1, count + 1):
        made = entry(number, number, before)
        found.append((made, entry_bytes(made)))
        before = digest(found[-1][1])
    return found


@pytest.fixture
def path(tmp_path) -> Path:
    begin_ledger(tmp_path / "ledger.jsonl", BEGINNING)
    return tmp_path / "ledger.jsonl"


def fill(path: Path, entries: list[tuple[PublicationEntry, bytes]]) -> None:
    ledger = Ledger(path)
    with ledger.locked() as locked:
        assert locked
        for made, line in entries:
            ledger.append(made, line)


def test_what_is_appended_is_read_again_line_by_line(path) -> None:
    entries = chain(3)
    fill(path, entries)
    assert list(read_entries(path)) == entries
    state = read_ledger(path)
    assert (state.beginning, state.position) == (BEGINNING, 3)
    assert state.ends == {"energy.import": ChainEnd(3, digest(entries[-1][1]))}


def test_every_line_is_a_json_object_that_says_what_was_published_and_never_what_is_in_it(path) -> None:
    fill(path, chain(1))
    found = json.loads(path.read_bytes().splitlines()[1])
    assert set(found) == {
        *("format", "city", "position", "metric", "sequence", "window", "revision", "kind", "published_at"),
        *("before", "body", "catalogue"),
    }


@pytest.mark.parametrize("kept", [0, 1, 20, 150])
def test_a_line_without_its_end_is_cut_off_and_the_chain_goes_on(path, kept) -> None:
    entries = chain(2)
    fill(path, entries[:1])
    with path.open("ab") as file:
        file.write(entries[1][1][:kept])
    assert read_ledger(path).position == 1
    fill(path, entries[1:])
    assert list(read_entries(path)) == entries


def test_an_entry_that_does_not_continue_the_chain_is_refused(path) -> None:
    entries = chain(2)
    fill(path, entries[:1])
    head = digest(entries[0][1])
    other_city = replace(entry(2, 2, head), city="hue")
    for wrong in (entry(2, 2, None), entry(2, 3, head), entry(3, 2, head), entry(2, 2, digest(b"x")), other_city):
        with pytest.raises(LedgerFault, match="does not continue the chain"):
            fill(path, [(wrong, entry_bytes(wrong))])
    skip = entry(70, 90, head, kind="skip")
    fill(path, [(skip, entry_bytes(skip))])
    assert read_ledger(path).position == 70


def test_a_changed_line_is_noticed(path) -> None:
    fill(path, chain(3))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"revision":0', b'"revision": 0')
    path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerFault, match="damaged in line 4"):
        read_ledger(path)
    path.write_bytes(b"nonsense\n")
    with pytest.raises(LedgerFault, match="damaged in line 1"):
        read_ledger(path)


def test_one_process_at_a_time_has_the_ledger(path) -> None:
    first, second = Ledger(path), Ledger(path)
    with first.locked() as has_first, second.locked() as has_second:
        assert (has_first, has_second) == (True, False)
    with second.locked() as has_second:
        assert has_second


def test_a_ledger_that_begins_later_agrees_with_what_was_published_before_it(path) -> None:
    entries = chain(2)
    ends = {"energy.import": ChainEnd(90, digest(entries[1][1]))}
    facts = LogFacts(BEGINNING.log, 40, True, {"energy.import": (2, entries[1][1])})
    later = replace(BEGINNING, after=40, ends=ends)
    assert missing_entries(facts, later, [], path, "isfahan") == []
    with pytest.raises(LedgerFault, match="contradicts the database"):
        missing_entries(facts, replace(later, ends={"energy.import": ChainEnd(90, None)}), [], path, "isfahan")
    with pytest.raises(LedgerFault, match="begins after publication 40"):
        missing_entries(replace(facts, position=39), later, [], path, "isfahan")


def test_what_another_has_appended_is_read_before_anything_follows_it(path) -> None:
    entries = chain(3)
    first = Ledger(path)
    with first.locked():
        first.append(*entries[0])
    fill(path, entries[1:2])
    with first.locked():
        assert first.state.position == 2
        first.append(*entries[2])
    assert list(read_entries(path)) == entries


def test_a_file_that_is_replaced_or_written_by_someone_without_the_lock_is_noticed(path) -> None:
    entries = chain(2)
    ledger = Ledger(path)
    with ledger.locked():
        ledger.append(*entries[0])
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(LedgerFault, match="replaced"):
            ledger.append(*entries[1])
        path.write_bytes(content)
        with pytest.raises(LedgerFault, match="replaced"):
            ledger.append(*entries[1])


def test_a_ledger_is_never_begun_over_another_and_one_that_is_set_aside_stays(path) -> None:
    fill(path, chain(1))
    with pytest.raises(FileExistsError):
        begin_ledger(path, BEGINNING)
    kept = set_aside(path)
    assert read_ledger(kept).position == 1
    begin_ledger(path, replace(BEGINNING, after=9, ends={"x": ChainEnd(4, None), "y": ChainEnd(5, digest(b"y"))}))
    state = read_ledger(path)
    assert (state.position, state.ends) == (9, {"x": ChainEnd(4, None), "y": ChainEnd(5, digest(b"y"))})
    assert set_aside(path) != kept
    assert set_aside(path) is None
    with pytest.raises(LedgerFault, match="no ledger"):
        read_ledger(path)


@pytest.mark.parametrize("line", [b"", b"7", b"{}", b'{"format":2}', b'{"format":1}', b"\xff", b"null"])
def test_what_is_no_entry_is_refused(line) -> None:
    with pytest.raises(BadEntry):
        entry_of(line)


cells = st.lists(
    st.builds(
        lambda area, class_, value, incomplete: PublishedCell(
            area,
            class_,
            None if incomplete else value,
            None if incomplete or value is None else "high",
            "r",
            incomplete,
        ),
        *(st.integers(0, 99), st.sampled_from(["residential", "commercial"])),
        *(st.none() | st.integers(-(2**63), 2**63 - 1), st.booleans()),
    ),
    unique_by=lambda cell: (cell.area, cell.class_),
)


@given(cells)
def test_a_body_is_a_publication_of_the_wire_with_a_salt_and_gives_its_cells_back(found) -> None:
    header = entry(1, 1, None).header
    body = body_bytes(header, "mJ", found, "00ff")
    assert cells_of(body) == tuple(sorted(found, key=lambda cell: (cell.area, cell.class_)))
    read = Publication.model_validate_json(body)
    assert [cell.status for cell in read.cells] == [cell.status for cell in cells_of(body)]
    assert json.loads(body)["salt"] == "00ff"
    assert b"\n" not in body
