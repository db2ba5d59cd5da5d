"""`sistercity verify`: a table of what verifies, and words at the first contradiction."""

from collections.abc import Iterator

import pytest

from errors import OperatorError
from federation.identity.document import open_identity
from federation.publications.entries import digest, entry_of
from federation.publications.heads import open_head
from federation.publications.signing import Signer
from node.commands.verify import verify
from node.settings import settings
from store.database import Connection, connect
from store.identities import save_identity, save_own_identity
from store.partner_heads import Contradiction, ReceivedHead, keep_head, record_contradiction
from tests.federation.city import IMPORT, T0
from tests.federation.identity.cities import DAY, NOW, SigningCity, online
from tests.federation.published import PublishedCity
from tests.federation.restoring import CITY, publish_hours_until, twelve_hours

pytestmark = pytest.mark.services

KEYS, HUE = SigningCity(CITY), SigningCity("hue")


@pytest.fixture
def city_url(database_url, tmp_path, monkeypatch) -> Iterator[str]:
    """A city that has published three hours, signed; the settings are those of its node."""
    twelve_hours(database_url)
    with connect(database_url) as connection:
        keys = [online("publish", KEYS.publish, T0 - DAY)]
        document = KEYS.document(keys=keys, issued_at=T0, expires_at=T0 + DAY)
        save_own_identity(connection, KEYS.thumbprint, CITY, 1, document, T0 + DAY)
    publish_hours_until(database_url, tmp_path / "ledger.jsonl", 2, Signer(lambda: [KEYS.publish]))
    for name, value in (("CITY", CITY), ("DATABASE_URL", database_url), ("HOME", tmp_path)):
        monkeypatch.setenv(f"SISTERCITY_{name}", str(value))
    monkeypatch.setenv("SISTERCITY_LEDGER", str(tmp_path / "ledger.jsonl"))
    settings.cache_clear()
    yield database_url
    settings.cache_clear()


def receive(connection: Connection, city: PublishedCity, number: int) -> str:
    """Store what a partner has published, and a head of it; returns the head."""
    keys = city.keys
    save_identity(connection, keys.thumbprint, keys.city, 1, keys.document(), NOW + DAY)
    for row in city.rows:
        entry = entry_of(row.line)
        place = (keys.thumbprint, entry.header.metric, entry.header.sequence)
        connection.execute(
            "INSERT INTO partner_entries VALUES (%s, %s, %s, %s, %s, %s, now(), now(), 0, now(), %s, %s)",
            (*place, digest(row.line), row.line, entry.header.kind, entry.body, entry.catalogue),
        )
        connection.execute(
            "INSERT INTO partner_bodies VALUES (%s, %s, %s, %s, %s, now(), now())", (*place, entry.body, row.body)
        )
    head = open_head(city.head(number), open_identity(keys.document(), pinned=None, now_ms=None), None)
    times = (head.log, head.issued_at, head.expires_at)
    keep_head(
        connection, ReceivedHead(keys.thumbprint, number, digest(head.payload), keys.thumbprint, head.document, *times)
    )
    connection.execute(
        "INSERT INTO entry_ends (thumbprint, metric, sequence, hash) VALUES (%s, %s, 1, '')",
        (keys.thumbprint, city.metric),
    )
    return head.document


def fails() -> str:
    with pytest.raises(OperatorError) as raised:
        verify()
    return str(raised.value)


def test_it_verifies_our_own_city_and_partners_and_names_the_first_contradiction(city_url, capsys) -> None:
    hue = PublishedCity(HUE)
    for hour in range(3):
        hue.publish(hour)
    with connect(city_url) as connection:
        document = receive(connection, hue, 7)
        verify()
        said = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert said[1:3] == [
            [CITY, IMPORT.name, "3", "3", "0", "0", "all"],
            ["hue", hue.metric, "3", "3", "0", "0", "all"],
        ]
        assert said[3:] == [
            f"hue: 3 entries of {hue.metric} name a catalogue that is not here".split(),
            ["no", "contradiction"],
        ]
        found = Contradiction(HUE.thumbprint, hue.metric, "two entries 3", 3, document, document, b"", "partner")
        record_contradiction(connection, found)
        assert "hue has contradicted itself about energy.import: two entries 3" in fails()
        connection.execute("UPDATE partner_entries SET line = line || ' '::bytea WHERE sequence = 3")
        connection.execute("DELETE FROM contradictions")
        assert f"entry 3 of {hue.metric} is not the one that head 7 of hue names" in fails()
        connection.execute("UPDATE publications SET body = body || ' '::bytea WHERE position = 2")
        assert f"the body of entry 2 of {IMPORT.name} is not the one" in fails()
        connection.execute("UPDATE catalogues SET content = content || ' '::bytea")
        assert "has other content" in fails()


def test_it_reads_the_ledger_and_the_heads_that_partners_have_seen(city_url, tmp_path) -> None:
    with connect(city_url) as connection:
        alone = PublishedCity(KEYS)
        alone.publish(0)
        seen = ReceivedHead(KEYS.thumbprint, T0, "", "partner", alone.head(T0), "", T0, T0)
        keep_head(connection, seen)
        assert f"entry 1 of {IMPORT.name} is not the one that head {T0} of {CITY} names" in fails()
        connection.execute("DELETE FROM partner_heads")
        verify()
        content = (tmp_path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "ledger.jsonl").write_bytes(b"".join(content[:-1]))
        assert "ends with publication 2, and the database with 3" in fails()
