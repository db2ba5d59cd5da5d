"""Bodies that a restored city has lost come back from a partner, by the hashes that its entries name."""

import asyncio
from pathlib import Path

import pytest

from federation.partners.returning import return_lost
from federation.publications.withdrawing import withdraw
from store.database import connect
from store.recovery import lost_bodies
from tests.federation.city import HOUR, IMPORT, T0
from tests.federation.restoring import (
    at_work,
    backup,
    change_every_cell,
    due_at,
    numbers,
    publish_hours_until,
    shown,
    twelve_hours,
)
from tests.federation.talking import Reply, TalkingCity, agree, agreed, pulling, talking


@pytest.mark.services
def test_lost_bodies_come_back_from_a_partner_but_neither_other_ones_nor_withdrawn_ones(
    server_url, database_url, tmp_path
) -> None:
    ledger: Path = tmp_path / "ledger.jsonl"
    twelve_hours(database_url)
    publish_hours_until(database_url, ledger, 1)
    hue = TalkingCity()
    with backup(server_url, database_url) as restored, talking(hue) as [address]:
        publish_hours_until(database_url, ledger, 4)
        with connect(database_url) as connection:
            sent = connection.execute("SELECT body_hash, body FROM publications ORDER BY position").fetchall()
            before = shown(connection)
        with at_work(database_url, ledger, due_at(4)) as appender:
            withdraw(appender, IMPORT, T0 + 4 * HOUR, "a wrong meter", due_at(4))
        change_every_cell(restored)
        publish_hours_until(restored, ledger, 4)
        agree(restored, agreed(hue, address))
        paths = [f"/v1/bodies/{hash_}" for hash_, _ in sent]
        other, (_, right) = sent[1][1], sent[2]
        hue.replies = {paths[2]: [Reply(body=other), Reply(body=right)], paths[3]: [Reply(410)]}
        assert asyncio.run(return_lost(pulling(restored))) == (0, 3)
        assert asyncio.run(return_lost(pulling(restored))) == (1, 2)
        with connect(restored) as connection:
            kinds = [kind for _, _, kind in numbers(connection)]
            assert kinds == ["publication", "publication", "publication", "lost", "lost", "withdrawal"]
            window = (IMPORT.name, T0 + 2 * HOUR, 0)
            assert shown(connection)[window] == before[window]
            assert [lost.hash for lost in lost_bodies(connection)][:1] == [sent[3][0]]
        assert paths[4] not in hue.requests
