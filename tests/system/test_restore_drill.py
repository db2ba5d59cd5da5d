"""The drill: database destroyed, restored from a backup; publications go on, and the partner's puller by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from api.exchange.app import create_partner_api
from federation.partners.limits import Network
from federation.partners.pulling import Pulled, Pulling, present_ms, pull
from federation.partners.witnessing import compared
from federation.publications.ledger import Ledger, LedgerFault
from federation.publications.publisher import publishing
from federation.publications.signing import Signer
from node.commands.backup import backup, restore
from node.commands.verify import verify
from node.settings import settings
from store.agreements import InstalledAgreement, MetricGrant, allow_addresses, install
from store.database import connect, create_database
from store.heads import newest_head
from store.identities import save_identity, save_own_identity
from tests.api.running import running
from tests.federation.city import IMPORT, ISFAHAN, T0
from tests.federation.identity.cities import DAY, SigningCity, online
from tests.federation.restoring import CITY, change_every_cell, numbers, publish_hours_until, shown, twelve_hours

pytestmark = pytest.mark.services

ISFAHAN_KEYS, HUE_KEYS = SigningCity(CITY), SigningCity("hue")
AGREEMENT = "A" * 22


def document(city: SigningCity) -> str:
    """The city's identity document, valid now."""
    begin, end = present_ms() - DAY, present_ms() + 80 * DAY
    keys = [online("publish", city.publish, begin, end), online("access", city.access, begin, end)]
    return city.document(issued_at=begin, expires_at=end, keys=keys)


DOCUMENTS = {city.city: document(city) for city in (ISFAHAN_KEYS, HUE_KEYS)}


def introduce(url: str, own: SigningCity, other: SigningCity, addresses: tuple[str, ...]) -> None:
    """Both identities, and the agreement as `own` has it."""
    now = present_ms()
    grant = MetricGrant("received" if addresses else "given", IMPORT.name, T0 - DAY, 0, 3660)
    parties = (own.thumbprint, other.thumbprint, other.city, b"", "", addresses)
    terms = (now - DAY, now + 60 * DAY, False, 600, 2**30, 4, (grant,))
    with connect(url) as connection:
        save_own_identity(connection, own.thumbprint, own.city, 1, DOCUMENTS[own.city], now + 79 * DAY)
        save_identity(connection, other.thumbprint, other.city, 1, DOCUMENTS[other.city], now + 79 * DAY)
        install(connection, InstalledAgreement(*(AGREEMENT, 1, *parties), *terms), None)


def publish_until(url: str, ledger: Path, hour: int) -> None:
    """Publish as far as this hour, and sign."""
    publish_hours_until(url, ledger, hour)
    with (
        connect(url) as connection,
        publishing(
            connection, Ledger(ledger), CITY, "UTC", present_ms(), Signer(lambda: [ISFAHAN_KEYS.publish])
        ) as made,
    ):
        assert made is not None


@pytest.fixture
def settled(database_url, tmp_path, monkeypatch) -> Iterator[Path]:
    """The settings are those of the city's node; yields the ledger, which is on other storage than the database."""
    ledger = tmp_path / "elsewhere" / "ledger.jsonl"
    for name, value in (("CITY", CITY), ("HOME", tmp_path), ("LEDGER", ledger), ("DATABASE_URL", database_url)):
        monkeypatch.setenv(f"SISTERCITY_{name}", str(value))
    settings.cache_clear()
    yield ledger
    settings.cache_clear()


def pulled(taker_url: str, giver_url: str) -> Pulled:
    """What the partner's puller takes now. The giver's server has another port each time, which a city's name hides."""
    with running(create_partner_api(replace(ISFAHAN, zone="UTC"), giver_url)) as address:
        with connect(taker_url) as connection:
            allow_addresses(connection, AGREEMENT, [address])
        [done] = asyncio.run(pull(Pulling(taker_url, [HUE_KEYS.access], network=Network(private_addresses=True))))
    return done


@contextmanager
def destroyed(server_url: str, url: str) -> Iterator[str]:
    """Destroy a database; yields the URL of a new and empty one."""
    name = str(conninfo_to_dict(url)["dbname"])
    with connect(server_url) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    new = create_database(server_url, f"{name}_new")
    try:
        yield new
    finally:
        with connect(server_url) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(f"{name}_new")))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))  # for who cleans up


def test_publications_go_on_without_a_gap_or_a_second_story_and_the_partner_by_itself(
    server_url, database_url, second_database_url, settled, tmp_path, monkeypatch, capsys
) -> None:
    twelve_hours(database_url)
    introduce(database_url, ISFAHAN_KEYS, HUE_KEYS, ())
    introduce(second_database_url, HUE_KEYS, ISFAHAN_KEYS, ("https://isfahan.example",))
    publish_until(database_url, settled, 2)
    first = pulled(second_database_url, database_url)
    assert first.failure is None
    assert first.result.bodies == 3
    backup(tmp_path / "city.zip")
    publish_until(database_url, settled, 4)
    assert pulled(second_database_url, database_url).result.entries == 2
    with connect(database_url) as connection:
        told = shown(connection)
    with destroyed(server_url, database_url) as new:
        monkeypatch.setenv("SISTERCITY_DATABASE_URL", new)
        settings.cache_clear()
        restore(tmp_path / "city.zip", ledger_of_backup=False, without_ledger=False)
        said = capsys.readouterr().out
        assert "with hue\n" in said
        assert "so nobody here knows what was revoked after the backup: bring the file back, or revoke again" in said
        change_every_cell(new)  # what Kafka gives again may have other values
        publish_until(new, settled, 6)
        done = pulled(second_database_url, new)
        assert (done.failure, done.result.entries) == (None, 2)
        verify()
        with connect(new) as connection:
            kinds = [kind for _, _, kind in numbers(connection)]
            assert kinds == ["publication"] * 3 + ["lost"] * 2 + ["publication"] * 2
            assert [sequence for _, sequence, _ in numbers(connection)] == list(range(1, 8))
            again = shown(connection)
        assert {window: again[window] for window in told if window in again} == {
            window: told[window] for window in told if window in again
        }
        with connect(second_database_url) as connection:
            entries = connection.execute("SELECT sequence FROM partner_entries ORDER BY sequence").fetchall()
            assert entries == [(number,) for number in range(1, 8)]
            assert connection.execute("SELECT FROM contradictions").fetchall() == []


def test_a_city_that_took_the_ledger_of_an_old_backup_publishes_nothing_once_a_partner_was_asked(
    server_url, database_url, second_database_url, settled, tmp_path, monkeypatch
) -> None:
    twelve_hours(database_url)
    introduce(database_url, ISFAHAN_KEYS, HUE_KEYS, ())
    publish_until(database_url, settled, 2)
    backup(tmp_path / "city.zip")
    publish_until(database_url, settled, 4)
    with connect(database_url) as connection:
        seen = newest_head(connection)
    settled.unlink()
    with destroyed(server_url, database_url) as new:
        monkeypatch.setenv("SISTERCITY_DATABASE_URL", new)
        settings.cache_clear()
        restore(tmp_path / "city.zip", ledger_of_backup=True, without_ledger=False)
        with connect(new) as connection:
            compared(connection, ISFAHAN_KEYS.thumbprint, [seen.document], HUE_KEYS.thumbprint)
        with pytest.raises(LedgerFault, match="partners have seen publication 5"):
            publish_until(new, settled, 6)
