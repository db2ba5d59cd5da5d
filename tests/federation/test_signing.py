"""The publisher signs what it published, once a turn; and stops where partners have seen more than its ledger has."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from errors import OperatorError
from federation import jose
from federation.identity.document import Identity, OnlineKey, RevokedKey, open_identity
from federation.publications.chain import ChainEnd, follow
from federation.publications.entries import digest, entry_of
from federation.publications.heads import SignedHead, contradiction, covered, open_head, sign_head
from federation.publications.ledger import LedgerFault, LedgerState, read_entries, read_ledger
from federation.publications.recovery import ledger_fault
from federation.publications.resuming import resume_after_loss
from federation.publications.signing import Signer
from federation.publications.withdrawing import withdraw
from store.database import Connection, connect
from store.heads import heads
from store.identities import save_own_identity
from store.partner_heads import ReceivedHead, keep_head
from tests.federation.city import IMPORT, T0
from tests.federation.identity.cities import DAY, SigningCity, online
from tests.federation.restoring import (
    CITY,
    at_work,
    backup,
    change_every_cell,
    due_at,
    publish_hours_until,
    twelve_hours,
)

pytestmark = pytest.mark.services

YEAR = 365 * DAY
KEYS = SigningCity(CITY)
OTHER = jose.new_key()


@pytest.fixture
def ledger(tmp_path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def city_url(database_url) -> str:
    twelve_hours(database_url)
    with connect(database_url) as connection:
        adopt(connection, 1, [listed(KEYS.publish)])
    return database_url


def listed(key: OKPKey, until: int = T0 + YEAR) -> OnlineKey:
    return online("publish", key, T0 - YEAR, until)


def adopt(connection: Connection, version: int, keys: Sequence[OnlineKey], *revoked: OKPKey) -> Identity:
    """Give the city an identity document with these keys."""
    taken_back = [RevokedKey(jose.thumbprint(key), T0, "lost") for key in revoked]
    times = {"issued_at": T0, "expires_at": T0 + 90 * DAY}
    document = KEYS.document(version, keys=keys, revoked=taken_back, **times)
    save_own_identity(connection, KEYS.thumbprint, CITY, version, document, T0 + 90 * DAY)
    return open_identity(document, pinned=KEYS.thumbprint, now_ms=T0)


def signer(*keys: OKPKey) -> Signer:
    return Signer(lambda: keys or [KEYS.publish])


def signed(connection: Connection, by: Identity | None = None) -> list[SignedHead]:
    identity = by or open_identity(KEYS.document(keys=[listed(KEYS.publish), listed(OTHER)]), pinned=None, now_ms=None)
    return [open_head(head.document, identity, None) for head in heads(connection)]


def test_a_turn_is_signed_once_whatever_it_published_and_an_idle_one_after_a_day(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 2, signer())
    publish_hours_until(city_url, ledger, 2, signer())
    with at_work(city_url, ledger, due_at(2) + DAY - 1, signer()):
        pass
    with connect(city_url) as connection:
        [head] = signed(connection)
        last = list(read_entries(ledger))[-1][1]
        assert covered(head, IMPORT.name, ChainEnd(3, digest(last)))
        assert (head.log, head.position, head.issued_at) == (read_ledger(ledger).beginning.log, 3, due_at(2))
        with at_work(city_url, ledger, due_at(2) + DAY, signer()):
            pass
        publish_hours_until(city_url, ledger, 3, signer())
        found = signed(connection)
    assert [head.ends[IMPORT.name].sequence for head in found] == [3, 3, 4]
    assert [contradiction(first, other) for first in found for other in found] == [None] * 9


def test_a_withdrawal_is_signed_and_takes_the_bodies_but_leaves_the_chain(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 1, signer())
    with at_work(city_url, ledger, due_at(1), signer()) as appender:
        withdraw(appender, IMPORT, T0, "a wrong meter", due_at(1))
    with connect(city_url) as connection:
        rows = connection.execute("SELECT entry, body, body_hash FROM publications ORDER BY position").fetchall()
        head = signed(connection)[-1]
    end = None
    for line, body, body_hash in rows:
        entry = entry_of(line)
        end = follow(end, entry, line, city=CITY)
        assert entry.body == body_hash
        assert body is None or digest(body) == body_hash
    assert [body is None for _, body, _ in rows] == [True, False, False]
    assert covered(head, IMPORT.name, end)


def test_after_a_rotation_or_a_revocation_the_head_is_signed_again_by_the_key_that_counts(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 0, signer())
    with connect(city_url) as connection:
        rotated = adopt(connection, 2, [listed(KEYS.publish, until=due_at(1)), listed(OTHER)])
        publish_hours_until(city_url, ledger, 1, signer(OTHER, KEYS.publish))
        assert [head.kid for head in signed(connection, rotated)] == [
            jose.thumbprint(KEYS.publish),
            jose.thumbprint(OTHER),
        ]
        third = jose.new_key()
        adopt(connection, 3, [listed(KEYS.publish, until=due_at(1)), listed(OTHER), listed(third)], OTHER)
        publish_hours_until(city_url, ledger, 1, signer(OTHER, third))
        assert jose.signer(list(heads(connection))[-1].document, "sistercity-head") == jose.thumbprint(third)


def test_without_a_key_that_counts_windows_leave_in_their_slots_unsigned(city_url, ledger, caplog) -> None:
    def broken() -> Sequence[OKPKey]:
        raise OperatorError("the file can be read by others")

    publish_hours_until(city_url, ledger, 0, Signer(lambda: []))
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        useless = Signer(broken)
        for hour in (1, 2):
            publish_hours_until(city_url, ledger, hour, useless)
        publish_hours_until(city_url, ledger, 3, signer(OTHER))
    with connect(city_url) as connection:
        assert signed(connection) == []
        connection.execute("UPDATE identities SET own = false")
        publish_hours_until(city_url, ledger, 4, signer())
        assert signed(connection) == []
    assert read_ledger(ledger).position == 5
    assert [words.partition(": ")[2] for words in caplog.messages] == [
        "the file can be read by others",
        "the identity document lists none of the publish keys that are here",
        "the database has no identity of this city: `sistercity identity import`",
    ]


def show(connection: Connection, document: str, key: OKPKey = KEYS.publish) -> None:
    """Let the city's puller have seen this head at a partner."""
    head = open_head(document, open_identity(KEYS.document(keys=[listed(key)]), pinned=None, now_ms=None), None)
    times = (head.log, head.issued_at, head.expires_at)
    keep_head(connection, ReceivedHead(KEYS.thumbprint, head.number, digest(head.payload), "partner", document, *times))


def numbered(number: int, state: LedgerState, ends: Mapping[str, ChainEnd], key: OKPKey = KEYS.publish) -> str:
    """A head of the city with this number and these ends."""
    return sign_head(
        key,
        city=CITY,
        log=state.beginning.log,
        number=number,
        position=state.position,
        ends=ends,
        audit=None,
        now_ms=due_at(1),
    )


def fault(database_url: str, ledger: Path) -> str:
    with pytest.raises(LedgerFault) as raised, at_work(database_url, ledger, due_at(7), signer()):
        pass
    with connect(database_url) as connection:
        assert ledger_fault(connection, ledger, CITY) == str(raised.value)
    return str(raised.value)


def test_restored_together_with_its_ledger_a_city_stops_where_partners_have_seen_more(
    server_url, city_url, ledger
) -> None:
    publish_hours_until(city_url, ledger, 3, signer())
    kept = ledger.read_bytes()
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 6, signer())
        known = list(read_entries(ledger))
        with connect(city_url) as connection:
            *_, seen = signed(connection)
        ledger.write_bytes(kept)
        change_every_cell(restored)
        with connect(restored) as connection:
            show(connection, seen.document)
            assert f"partners have seen publication 7 of {IMPORT.name}" in fault(restored, ledger)
            [skip] = resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(7))
            assert skip.sequence > seen.ends[IMPORT.name].sequence
            publish_hours_until(restored, ledger, 8, signer())
            *_, after = signed(connection)
        assert contradiction(seen, after) is None
        end = None
        for entry, line in [*known, *read_entries(ledger)]:  # as a partner receives them
            end = follow(end, entry, line, city=CITY)
        assert covered(after, IMPORT.name, end)


def test_a_restored_city_that_has_published_beyond_what_partners_have_seen_stops_and_resumes(
    server_url, city_url, ledger
) -> None:
    publish_hours_until(city_url, ledger, 1, signer())
    kept = ledger.read_bytes()
    with backup(server_url, city_url) as restored:
        publish_hours_until(city_url, ledger, 3, signer())
        with connect(city_url) as connection:
            *_, seen = signed(connection)
        ledger.write_bytes(kept)
        change_every_cell(restored)
        publish_hours_until(restored, ledger, 5, signer())
        with connect(restored) as connection:
            *_, newest = signed(connection)
            show(connection, newest.document)
            publish_hours_until(restored, ledger, 6, signer())
            show(connection, seen.document)
            assert f"partners have seen another publication 4 of {IMPORT.name}" in fault(restored, ledger)
            resume_after_loss(connection, ledger, CITY, [IMPORT], "UTC", due_at(7))
            publish_hours_until(restored, ledger, 8, signer())
            *_, after = signed(connection)
    assert after.ends[IMPORT.name].sequence > newest.ends[IMPORT.name].sequence


def test_another_publication_than_the_ledgers_stops_a_city_and_a_head_by_a_revoked_key_does_not(
    city_url, ledger
) -> None:
    publish_hours_until(city_url, ledger, 1, signer())
    state = read_ledger(ledger)
    other = {IMPORT.name: ChainEnd(2, digest(b"another"))}
    with connect(city_url) as connection:
        show(connection, numbered(due_at(9), state, other))
        assert f"partners have seen another publication 2 of {IMPORT.name}" in fault(city_url, ledger)
        adopt(connection, 2, [listed(KEYS.publish), listed(OTHER)], KEYS.publish)
        publish_hours_until(city_url, ledger, 2, signer(OTHER))
    assert read_ledger(ledger).position == 3


def test_a_head_takes_a_number_above_those_that_partners_have_seen(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 1, signer())
    state = read_ledger(ledger)
    with connect(city_url) as connection:
        show(connection, numbered(due_at(9), state, state.ends))
        publish_hours_until(city_url, ledger, 2, signer())
        assert signed(connection)[-1].number == due_at(9) + 1


def test_a_newer_head_by_a_revoked_key_hides_nothing_that_partners_have_seen(city_url, ledger) -> None:
    publish_hours_until(city_url, ledger, 1, signer())
    state = read_ledger(ledger)
    with connect(city_url) as connection:
        show(connection, numbered(due_at(9), state, {IMPORT.name: ChainEnd(3, digest(b"3"))}))
        adopt(connection, 2, [listed(KEYS.publish), listed(OTHER)])
        stolen = numbered(due_at(10), state, {IMPORT.name: ChainEnd(4, digest(b"4"))}, OTHER)
        show(connection, stolen, OTHER)
        adopt(connection, 3, [listed(KEYS.publish), listed(OTHER)], OTHER)
    assert f"partners have seen publication 3 of {IMPORT.name}" in fault(city_url, ledger)
