"""What partners sent is stored with its cursor or not at all; a withdrawal erases; standings say what holds."""

from collections.abc import Sequence

import pytest

from store.database import Connection, connect
from store.moments import moment
from store.partner_bodies import ReceivedBody, store_bodies
from store.partner_coverage import ends
from store.partner_cursors import BodyCursor, Conflict, EntryCursor, body_cursors, entry_cursor
from store.partner_entries import ReceivedEntry, store_entries
from store.partner_facts import meet
from store.partner_heads import Contradiction, ReceivedHead, contradicted, keep_head, newest_head, record_contradiction
from store.partner_standing import metric_standings, partner_standings, record_pull
from store.publication_log import CellColumns
from store.publications import Kind, Window
from tests.federation.city import HOUR, T0

pytestmark = pytest.mark.services

HUE = "h" * 43
METRIC = "energy.import"
READ = EntryCursor(None, ())


def entry(sequence: int, hour: int, *, kind: Kind = "publication", revision: int = 0) -> ReceivedEntry:
    window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
    return ReceivedEntry(
        *(METRIC, sequence, f"hash {sequence}", b"{}", kind, window, revision, window.end),
        *(f"body {sequence}", "catalogue"),
    )


def body(of: ReceivedEntry, value: int | None = 5) -> ReceivedBody:
    status = "withdrawn" if of.kind == "withdrawal" else "released"
    cells = CellColumns([1], ["residential"], [status], [value], ["high" if value else None], ["rule"])
    return ReceivedBody(of, b"body", "wrong" if of.kind == "withdrawal" else None, cells)


def head(number: int, hash_: str = "") -> ReceivedHead:
    return ReceivedHead(HUE, number, hash_ or f"head {number}", HUE, f"document {number}", "log", T0, T0 + HOUR)


def agree(
    connection: Connection,
    agreement: str = "a",
    partner: str = HUE,
    city: str = "hue",
    metrics: Sequence[str] = (METRIC,),
) -> None:
    connection.execute(
        "INSERT INTO agreements (id, version, own, partner, city, document, hash, addresses, valid_from, valid_until,"
        " witness, requests_per_minute, bytes_per_hour, concurrent_requests) VALUES"
        " (%s, 1, 'own', %s, %s, '', '', '{}', now() - interval '1 day', now() + interval '1 day', true, 1, 1, 1)",
        (agreement, partner, city),
    )
    connection.execute(
        "INSERT INTO grants SELECT %s, 1, 'received', metric, now(), '0 s', 3660 FROM unnest(%s::text[]) AS metric",
        (agreement, list(metrics)),
    )


def keep(
    connection: Connection, entries: Sequence[ReceivedEntry], before: EntryCursor, cursor: str, number: int = 1
) -> int:
    following = EntryCursor(cursor, (METRIC,))
    return store_entries(connection, "a", head(number), before=before, following=following, entries=entries)


def put(connection: Connection, bodies: Sequence[ReceivedBody], before: int | None, after: int) -> int:
    known = None if before is None else BodyCursor(before, T0)
    return store_bodies(
        connection, "a", HUE, "hue", METRIC, before=known, following=BodyCursor(after, T0), bodies=bodies
    )


def figures(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT sequence, status, value FROM partner_publications JOIN partner_cells"
        " USING (city, metric, window_start, revision) ORDER BY sequence"
    ).fetchall()


def test_entries_bodies_and_cursors_are_stored_together_or_not_at_all(database_url: str) -> None:
    first, second = entry(1, 0), entry(2, 1)
    with connect(database_url) as connection:
        meet(connection, HUE, "hue", "Huế")
        assert keep(connection, [first, second], READ, "c1") == 2
        assert ends(connection, HUE) == {METRIC: (2, "hash 2")}
        assert put(connection, [body(first), body(second)], None, 2) == 2
        with pytest.raises(Conflict, match="another process"):
            keep(connection, [entry(3, 2)], READ, "c2", 2)
        with pytest.raises(Conflict, match="another process"):
            put(connection, [body(first)], 1, 2)
        with pytest.raises(Conflict, match="twice"):
            keep(connection, [entry(3, 1)], entry_cursor(connection, "a"), "c2", 2)
            put(connection, [body(entry(3, 1))], 2, 3)
        assert figures(connection) == [(1, "released", 5), (2, "released", 5)]
        assert body_cursors(connection, "a") == {METRIC: BodyCursor(2, T0)}
        found = newest_head(connection, HUE)
        assert found is not None and found.number == 2


def test_what_is_read_again_is_left_out(database_url: str) -> None:
    with connect(database_url) as connection:
        meet(connection, HUE, "hue", "Huế")
        keep(connection, [entry(1, 0)], READ, "c1")
        assert keep(connection, [entry(1, 0), entry(2, 1)], entry_cursor(connection, "a"), "c2") == 1
        put(connection, [body(entry(1, 0))], None, 1)
        assert put(connection, [body(entry(1, 0)), body(entry(2, 1))], 1, 2) == 1


def test_a_withdrawal_erases_before_its_body_comes_and_a_late_body_stays_out(database_url: str) -> None:
    with connect(database_url) as connection:
        meet(connection, HUE, "hue", "Huế")
        keep(connection, [entry(1, 0), entry(2, 1)], READ, "c1")
        put(connection, [body(entry(1, 0))], None, 1)
        taken = [entry(3, 0, kind="withdrawal", revision=1), entry(4, 1, kind="withdrawal", revision=1)]
        keep(connection, taken, entry_cursor(connection, "a"), "c2")
        assert figures(connection) == [(1, "withdrawn", None)]
        assert connection.execute("SELECT count(*) FROM partner_bodies").fetchone() == (0,)
        assert put(connection, [body(entry(2, 1)), *(body(each, None) for each in taken)], 1, 4) == 2
        assert figures(connection) == [(1, "withdrawn", None), (3, "withdrawn", None), (4, "withdrawn", None)]
        assert connection.execute("SELECT sum(value) FROM partner_totals").fetchone() == (0,)


def test_a_city_with_a_new_identity_is_accepted_once_nothing_holds_with_the_former_one(database_url: str) -> None:
    with connect(database_url) as connection:
        agree(connection)
        meet(connection, HUE, "hue", "Huế")
        keep(connection, [entry(1, 0)], READ, "c1")
        put(connection, [body(entry(1, 0))], None, 1)
        agree(connection, "b", "n" * 43)
        with pytest.raises(Conflict, match="another city"):
            meet(connection, "n" * 43, "hue", "Huế")
        with pytest.raises(Conflict, match="never changes"):
            meet(connection, HUE, "da-nang", "Đà Nẵng")
        connection.execute("INSERT INTO agreement_revocations (id, reason) VALUES ('a', 'lost')")
        meet(connection, "n" * 43, "hue", "Huế")
        assert figures(connection) == []
        assert ends(connection, HUE) == {METRIC: (1, "hash 1")}


def test_heads_are_kept_once_and_contradictions_stay(database_url: str) -> None:
    with connect(database_url) as connection:
        for each in (head(1), head(2), head(1), head(2, "other")):
            keep_head(connection, each)
        assert connection.execute("SELECT number, hash FROM partner_heads ORDER BY 1, 2").fetchall() == [
            (1, "head 1"),
            (2, "head 2"),
            (2, "other"),
        ]
        for words in ("first", "second"):
            record_contradiction(connection, Contradiction(HUE, METRIC, words, 2, "a", "b", b"", HUE))
        assert contradicted(connection, HUE) == {METRIC}
        assert connection.execute("SELECT reason FROM contradictions").fetchall() == [("first",)]


def test_standings_tell_fresh_stale_refused_contradicted_withdrawn_and_no_agreement(database_url: str) -> None:
    now, until = T0 + 100 * HOUR, T0 + 101 * HOUR

    def standings(at: int = now) -> tuple[str, str]:
        [partner], [metric] = partner_standings(connection, at), metric_standings(connection, at)
        return partner.standing, metric.standing

    def pulled(reason: str | None = None, at: int = now, metric: str = "") -> None:
        record_pull(connection, "a", HUE, metric, at=at, fresh_until=until, reason=reason, detail=reason)

    with connect(database_url) as connection:
        agree(connection)
        assert standings() == ("stale", "stale")
        meet(connection, HUE, "hue", "Huế")
        pulled()
        pulled(metric=METRIC)
        assert standings() == ("fresh", "fresh")
        assert standings(until + 1) == ("stale", "stale")
        pulled("unreachable", now + 1)
        pulled("unreachable", now + 2)
        assert standings() == ("stale", "stale")
        [stale] = partner_standings(connection, now)
        assert (stale.since, stale.received_at) == (now, now)
        pulled("forged", now + 3)
        assert standings() == ("refused", "refused")
        pulled()
        pulled("off-grid", metric=METRIC)
        assert standings() == ("refused", "refused")
        pulled(metric=METRIC)
        keep(connection, [entry(1, 0)], READ, "c1")
        put(connection, [body(entry(1, 0))], None, 1)
        assert standings() == ("fresh", "fresh")
        taken = entry(2, 0, kind="withdrawal", revision=1)
        keep(connection, [taken], entry_cursor(connection, "a"), "c2")
        put(connection, [body(taken, None)], 1, 2)
        assert standings() == ("fresh", "withdrawn")
        record_contradiction(connection, Contradiction(HUE, METRIC, "two-stories", 2, "a", "b", b"", HUE))
        assert standings() == ("contradicted", "contradicted")
        over = now + 50 * HOUR
        connection.execute(
            "INSERT INTO agreement_revocations (id, reason, revoked_at) VALUES ('a', 'over', %s)", (moment(over),)
        )
        assert standings() == ("no-agreement", "no-agreement")
        assert partner_standings(connection, now)[0].received_at == int(moment(now).timestamp() * 1000)
        assert partner_standings(connection, over)[0].since == metric_standings(connection, over)[0].since == over
