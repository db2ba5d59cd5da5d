"""One customer is one contributor, however the id is spelled: in the register, in readings, and after an upgrade."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.cities import load_city
from ingest.register import Register, stored_register
from ingest.register_changes import changes_hold_from
from ingest.register_file import load_register
from ingest.register_spellings import spelling_groups, unify
from schemas.catalogue import catalogue
from store.database import Connection, connect
from store.inspection import unusual_contributors
from store.register_columns import RegisterError
from tests.ingest.cases import case
from tests.ingest.small_city import city

pytestmark = pytest.mark.services

NOW = int(datetime(2025, 11, 24, 12, 3, tzinfo=UTC).timestamp() * 1000)
METRIC = catalogue()["waste.collected"]
T = changes_hold_from(METRIC, NOW, "Asia/Tehran")
DAY = 86_400_000

Spell = Callable[[str], str]

TEN: Mapping[str, Spell] = {
    "as it is": str,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "blanks around": lambda text: f"  {text}\u00a0",
    "half decomposed": lambda text: text.replace("ờ", "ơ\u0300"),
    "Persian digits": lambda text: text.translate({ord("0") + digit: 0x6F0 + digit for digit in range(10)}),
    "Arabic digits": lambda text: text.translate({ord("0") + digit: 0x660 + digit for digit in range(10)}),
    "upper case": str.upper,
    "wide": lambda text: text.replace("P", "Ｐ"),
    "two blanks": lambda text: text.replace(" ", "  "),
    "an invisible sign": lambda text: text.replace(" ", " \u200c"),
}
"""Ways to spell an id; the last four of them may be another id, so they are refused."""
ONE_ID = list(TEN)[:6]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def at_now() -> int:
    return NOW


def row(source: str, contributor: str, begins: str = "2020-01-01", **changes: str) -> dict[str, str]:
    given = {"source": source, "metric": METRIC.name, "district": "town-a", "contributor": contributor}
    return given | {"class": "residual", "valid_from": begins, "valid_to": ""} | changes


def premises(spell: Spell, name: str, source: Spell = str) -> list[dict[str, str]]:
    return [row(source(f"T{n} {name}"), spell(f"Phường {n}")) for n in range(1, 7)]


def contributors_at(register: Register, sources: Sequence[str], time_ms: int) -> set[int]:
    columns = register.at(METRIC, time_ms).look_up(sources)
    return set(columns.contributor[columns.known].tolist())


def test_six_premises_in_ten_spellings_are_six_contributors_or_refused(connection: Connection) -> None:
    loaded: list[str] = []
    for name, spell in TEN.items():
        rows = premises(spell, name)
        if name in ONE_ID:
            load_register(connection, city(), rows, at_now)
            loaded += [each["source"] for each in rows]
        else:
            with pytest.raises(RegisterError) as caught:
                load_register(connection, city(), rows, at_now)
            assert (caught.value.line, caught.value.column) == (2, "contributor")
        assert connection.execute("SELECT count(*) FROM contributors").fetchone() == (6,)
    assert len(contributors_at(stored_register(connection, at_now), loaded, NOW)) == 6


def test_within_one_file_too(connection: Connection) -> None:
    rows = [each for name in ONE_ID for each in premises(TEN[name], name)]
    assert load_register(connection, city(), rows, at_now).rows.contributors_new == 6


@pytest.mark.parametrize("name", ["upper case", "wide", "two blanks"])
def test_what_is_nearly_equal_within_a_file_is_refused_with_both_lines(connection: Connection, name: str) -> None:
    rows = [*premises(str, "a"), *premises(TEN[name], "b")]
    with pytest.raises(RegisterError, match=r"^line 8, column contributor: .* on line 2: if it is the same") as caught:
        load_register(connection, city(), rows, at_now)
    assert "Ph" not in str(caught.value)
    assert connection.execute("SELECT count(*) FROM contributors").fetchone() == (0,)


def test_a_reading_is_found_in_every_spelling_of_its_source(connection: Connection) -> None:
    load_register(connection, city(), premises(str, "a"), at_now)
    register = stored_register(connection, at_now)
    for name in ONE_ID:
        ids = [each["source"] for each in premises(str, "a", TEN[name])]
        assert register.at(METRIC, NOW).look_up(ids).known.all()
        assert len(contributors_at(register, ids, NOW)) == 6
        alone = stored_register(connection, at_now, ids[0]).find([METRIC], ids[0], NOW)
        assert alone is not None
        assert alone == register.find([METRIC], "T1 a", NOW)
    strangers = [each["source"] for each in premises(str, "a", TEN["upper case"])]
    assert not register.at(METRIC, NOW).look_up(strangers).known.any()


def test_the_cases_are_six_contributors_and_one_or_refused(connection: Connection) -> None:
    isfahan = load_city("isfahan")
    assert load_register(connection, isfahan, case("07-register-nfc-nfd.csv"), at_now).rows.contributors_new == 6
    with pytest.raises(RegisterError, match=r"^line 6, column contributor: .* on line 2"):
        load_register(connection, isfahan, case("08-register-one-customer-five-spellings.csv"), at_now)


def loaded_before(connection: Connection, rows: Sequence[Mapping[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Load rows as releases did that took every spelling for an id of its own."""
    with monkeypatch.context() as patched:
        patched.setattr("ingest.register_rows.normals", list)
        patched.setattr("ingest.register_file.comparable", lambda ids: ids)
        load_register(connection, city(), rows, at_now)


def test_what_was_loaded_in_two_spellings_becomes_one_from_a_window_on_that_has_not_begun(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ["decomposed", "as it is", "upper case"]
    ids = [f"T{n} {name}" for name in names for n in range(1, 7)]
    loaded_before(connection, [each for name in names for each in premises(TEN[name], name)], monkeypatch)
    reading = stored_register(connection, at_now)
    assert len(contributors_at(reading, ids, NOW)) == 18
    before = reading.at(METRIC, NOW).look_up(ids)

    same = [group for group in spelling_groups(connection, NOW) if group.same]
    assert [len(group.spellings) for group in same] == [2] * 6
    assert unusual_contributors(connection) == 6
    done = unify(connection, city(), at_now, rows_to=tmp_path / "changed.csv")
    assert unusual_contributors(connection) == 0
    assert (done.contributors, done.rows, done.holds_from_ms) == (6, 6, {METRIC.name: T})
    assert unify(connection, city(), at_now, nearly=True).contributors == 6
    assert [group for group in spelling_groups(connection, T) if group.kind == "contributor"] == []

    for register in (stored_register(connection, at_now), stored_register(connection, lambda: NOW + 61_000)):
        for time_ms, count in ((NOW, 18), (T - 1, 18), (T, 6), (T + DAY, 6)):
            assert len(contributors_at(register, ids, time_ms)) == count
        after = register.at(METRIC, NOW).look_up(ids)
        assert after.number.tolist() == before.number.tolist()
        assert after.contributor.tolist() == before.contributor.tolist()
    again = load_register(connection, city(), tmp_path / "changed.csv", at_now).rows
    assert (again.sources_new, again.sources_updated, again.contributors_new) == (0, 0, 0)
    later = [row("T9", TEN["upper case"]("Phường 1"), "2026-01-01")]
    assert load_register(connection, city(), later, at_now).rows.contributors_new == 0
    assert len(contributors_at(stored_register(connection, at_now), [*ids, "T9"], T + 60 * DAY)) == 6


def test_a_reader_that_holds_the_register_follows_what_became_one(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.fromtimestamp(T / 1000 + 3600, UTC).isoformat()
    rows = [row("T1", "Phường"), row("T2", unicodedata.normalize("NFD", "Phường")), row("T3", "Phường ", later)]
    loaded_before(connection, rows, monkeypatch)
    now = NOW
    register = stored_register(connection, lambda: now)
    assert len(contributors_at(register, ["T1", "T2", "T3"], T + DAY)) == 3
    unify(connection, city(), lambda: now)
    now += 61_000
    assert len(contributors_at(register, ["T1", "T2", "T3"], T + DAY)) == 1
    assert len(contributors_at(register, ["T1", "T2", "T3"], T - 1)) == 2


def test_spellings_of_a_source_become_one_and_what_was_resolved_stays(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomposed = unicodedata.normalize("NFD", "Điểm 1")
    alone = unicodedata.normalize("NFD", "Điểm 2")
    rows = [row("Điểm 1", "c1"), row(decomposed, "c1"), row(alone, "c2"), row("Điểm 3", "c3"), row("ĐIỂM 3", "c4")]
    loaded_before(connection, rows, monkeypatch)
    ids = ["Điểm 1", decomposed, alone]
    before = stored_register(connection, at_now).at(METRIC, NOW).look_up(ids).number.tolist()
    done = unify(connection, city(), at_now)
    assert (done.sources, done.left) == (2, [])
    register = stored_register(connection, at_now)
    assert register.at(METRIC, NOW).look_up(ids).number.tolist() == before
    one, other, third = register.at(METRIC, T).look_up(ids).number.tolist()
    assert (one, other, third) == (before[0], before[0], before[2])
    assert register.at(METRIC, T).look_up(["Điểm 2"]).known.all()
    left = unify(connection, city(), at_now, nearly=True).left
    assert [set(group.spellings) for group in left] == [{"Điểm 3", "ĐIỂM 3"}]
