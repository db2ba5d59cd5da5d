"""`sistercity backup` and `restore`: everything comes back, and nothing that is there is ever touched."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from errors import OperatorError
from federation.city import CityFacts
from node.backup.archive import BackupFault, opened
from node.backup.restoring import restore_backup
from node.commands.backup import backup, restore
from node.settings import settings
from store.agreements import revoke
from store.database import connect, create_database
from store.dead_letters import unrelayed
from store.migrations import migrate
from store.snapshot import RestoreRefused, copied, snapshot
from tests.federation.city import TOPIC, add_cell
from tests.federation.restoring import CITY, publish_hours_until, twelve_hours
from tests.federation.two_cities import account

pytestmark = pytest.mark.services


@pytest.fixture
def empty_url(server_url) -> Iterator[str]:
    """URL of a database without any table."""
    url = create_database(server_url, f"empty_{uuid4().hex}")
    yield url
    with connect(server_url) as connection:
        name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def city_url(database_url, tmp_path, monkeypatch) -> Iterator[str]:
    """A city that has published three hours, with accounts, dead letters and a revoked agreement."""
    twelve_hours(database_url)
    publish_hours_until(database_url, tmp_path / "ledger.jsonl", 2)
    with connect(database_url) as connection:
        account(connection, CityFacts("elsewhere", "Elsewhere", {}, *("IR", "UTC", 1, (), 15)))
        revoke(connection, "A" * 22, "tab\t, backslash \\ and\nline")
        connection.execute(
            "INSERT INTO debug_pictures (os_user, camera, taken_at, reason, sha256, regions)"
            " VALUES ('somebody', 0, now(), 'why', sha256(''), 1)"
        )
    for name, value in (("CITY", CITY), ("HOME", tmp_path), ("LEDGER", tmp_path / "ledger.jsonl")):
        monkeypatch.setenv(f"SISTERCITY_{name}", str(value))
    use(monkeypatch, database_url)
    yield database_url
    settings.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the commands work on this database."""
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", url)
    settings.cache_clear()


def everything(url: str) -> dict[str, list[str]]:
    """Every row of every table, as JSON."""
    with connect(url) as connection, snapshot(connection) as found:
        return {
            table.name: sorted(
                row[0]
                for row in connection.execute(
                    sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t").format(sql.Identifier(table.name))
                )
            )
            for table in found.tables
        }


def refused(*terms, **options) -> str:
    options = {"ledger_of_backup": False, "without_ledger": False} | options
    with pytest.raises(OperatorError) as raised:
        restore(*terms, **options)
    return str(raised.value)


def test_every_row_comes_back_into_an_empty_database_and_numbers_go_on(
    city_url, empty_url, tmp_path, monkeypatch, capsys
) -> None:
    backup(tmp_path)
    [file] = tmp_path.glob(f"{CITY}-*.zip")
    assert file.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert f"publish key, {tmp_path / 'identity/publish.key'} (not on this machine)" in said
    use(monkeypatch, empty_url)
    restore(file, ledger_of_backup=False, without_ledger=False)
    assert "ledger: agrees" in capsys.readouterr().out
    before, after = everything(city_url), everything(empty_url)
    assert before == after
    assert {name for name, rows in before.items() if rows} > {"cells", "dead_letters", "debug_pictures", "publications"}
    with connect(empty_url) as connection:
        connection.execute("INSERT INTO dead_letters VALUES (%s, 0, 99, -1, 'cut', '')", (TOPIC,))
        others = connection.execute("SELECT max(number) FROM dead_letters WHERE topic <> %s", (TOPIC,)).fetchone()
        [new] = unrelayed(connection, (TOPIC, 0), 9)
        assert new.number == others[0] + 1
    publish_hours_until(empty_url, tmp_path / "ledger.jsonl", 3)


def test_what_is_written_meanwhile_is_in_the_next_backup(city_url) -> None:
    with connect(city_url) as connection, snapshot(connection) as found, connect(city_url) as other:
        cells = next(table for table in found.tables if table.name == "cells")
        before = b"".join(copied(connection, cells))
        add_cell(other, 30, 1)
        assert b"".join(copied(connection, cells)) == before


def test_it_refuses_a_database_with_anything_in_it_and_changes_nothing(city_url, tmp_path, capsys) -> None:
    backup(tmp_path / "a.zip")
    before = everything(city_url)
    assert "the database is not empty" in refused(tmp_path / "a.zip")
    assert everything(city_url) == before
    with pytest.raises(BackupFault, match="exists already"):
        backup(tmp_path / "a.zip")


def test_a_damaged_file_is_noticed_before_anything_changes(city_url, empty_url, tmp_path, monkeypatch) -> None:
    whole, spoiled = tmp_path / "whole.zip", tmp_path / "spoiled.zip"
    backup(whole)
    use(monkeypatch, empty_url)
    content = whole.read_bytes()
    spoiled.write_bytes(content[: len(content) // 2])
    assert "only a part of one" in refused(spoiled)
    with zipfile.ZipFile(whole) as archive:
        place = archive.getinfo("tables/publications.txt").header_offset + 200
    spoiled.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert "is damaged" in refused(spoiled)
    rewrite(whole, spoiled, "tables/cells.txt", lambda rows: rows.replace(b"\t100\t", b"\t101\t"))
    assert "is damaged: cells is not what was backed up" in refused(spoiled)
    rewrite(whole, spoiled, "manifest.json", lambda text: text.replace(b'"isfahan"', b'"hue"'))
    assert "a backup of hue" in refused(spoiled)
    rewrite(whole, spoiled, "manifest.json", lambda text: text.replace(b'"tables_version": "', b'"tables_version": "9'))
    assert "this version does not know: install sistercity" in refused(spoiled)
    with pytest.raises(psycopg.errors.UndefinedTable), connect(empty_url) as connection:
        connection.execute("SELECT FROM alembic_version")


def rewrite(whole: Path, to: Path, name: str, change) -> None:
    """A copy of a backup, in which one file is another."""
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(to, "w") as other:
        for each in archive.namelist():
            other.writestr(each, change(archive.read(each)) if each == name else archive.read(each))


def test_it_asks_for_the_ledger_unless_told_that_nothing_left_since(
    city_url, empty_url, tmp_path, monkeypatch, capsys
) -> None:
    backup(tmp_path / "a.zip")
    ledger = tmp_path / "ledger.jsonl"
    assert "knows what was published after the backup" in refused(tmp_path / "a.zip", ledger_of_backup=True)
    content = ledger.read_bytes()
    ledger.unlink()
    use(monkeypatch, empty_url)
    assert "nobody here knows what was published" in refused(tmp_path / "a.zip")
    restore(tmp_path / "a.zip", ledger_of_backup=True, without_ledger=False)
    assert ledger.read_bytes() == content
    publish_hours_until(empty_url, ledger, 3)


def test_a_ledger_that_cannot_be_put_in_its_place_is_named_before_the_database_is_filled(
    city_url, empty_url, tmp_path, monkeypatch
) -> None:
    backup(tmp_path / "a.zip")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SISTERCITY_LEDGER", str(tmp_path / "a file" / "ledger.jsonl"))
    use(monkeypatch, empty_url)
    assert "the ledger can't be put at" in refused(tmp_path / "a.zip", ledger_of_backup=True)
    monkeypatch.setenv("SISTERCITY_LEDGER", str(tmp_path / "elsewhere.jsonl"))
    use(monkeypatch, empty_url)
    restore(tmp_path / "a.zip", ledger_of_backup=True, without_ledger=False)
    assert everything(empty_url) == everything(city_url)


def test_an_interrupted_restore_leaves_an_empty_database_and_is_run_again(
    city_url, empty_url, tmp_path, monkeypatch
) -> None:
    backup(tmp_path / "a.zip")
    with opened(tmp_path / "a.zip") as reader:
        whole = reader.read

        def cut(name: str) -> Iterator[bytes]:
            if name == "published_cells":
                with connect(empty_url) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND pid <> pg_backend_pid()"
                    )
            yield from whole(name)

        monkeypatch.setattr(reader, "read", cut)
        with pytest.raises(psycopg.OperationalError):
            restore_backup(reader, empty_url)
        assert not any(rows for name, rows in everything(empty_url).items() if name == "publications")
        monkeypatch.setattr(reader, "read", whole)
        restore_backup(reader, empty_url)
    assert everything(empty_url) == everything(city_url)


def test_tables_of_others_are_left_out_with_their_numbers(city_url, empty_url, tmp_path, monkeypatch, capsys) -> None:
    with connect(city_url) as connection:
        connection.execute("CREATE TABLE theirs (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text)")
        connection.execute("INSERT INTO theirs (word) VALUES ('one')")
    backup(tmp_path / "a.zip")
    use(monkeypatch, empty_url)
    restore(tmp_path / "a.zip", ledger_of_backup=False, without_ledger=False)
    assert "left out: table theirs, which is not of sistercity" in capsys.readouterr().out
    assert everything(empty_url) == {name: rows for name, rows in everything(city_url).items() if name != "theirs"}


def test_empty_tables_of_another_version_are_made_anew_and_what_is_of_others_stays(
    city_url, empty_url, tmp_path
) -> None:
    backup(tmp_path / "a.zip")
    migrate(empty_url, "0030")
    with connect(empty_url) as connection:
        connection.execute("CREATE TABLE theirs (word text)")
        connection.execute("CREATE FUNCTION their_answer() RETURNS integer LANGUAGE sql AS 'SELECT 42'")
        with opened(tmp_path / "a.zip") as reader:
            restore_backup(reader, empty_url)
        assert connection.execute("SELECT their_answer(), (SELECT count(*) FROM theirs)").fetchone() == (42, 0)
    assert {**everything(city_url), "theirs": []} == everything(empty_url)


def test_only_one_restores_at_a_time(city_url, empty_url, tmp_path) -> None:
    backup(tmp_path / "a.zip")
    with opened(tmp_path / "a.zip") as reader, connect(empty_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x5157E2C18,))
        with pytest.raises(RestoreRefused, match="another process restores"):
            restore_backup(reader, empty_url)
