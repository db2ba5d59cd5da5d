"""Old lines of the audit are removed, and the chain is verified from its checkpoint on."""

import logging
from collections.abc import Iterator

import pytest

from federation.access.audit import end_of
from federation.access.pruning import AuditPruning, prune_chain
from federation.access.verifying import VerifiedAudit, Witness, verify_audit
from store.access import issue
from store.audit import AuditRow, audit_checkpoints, audit_head, audit_rows, lines_removed, oldest_line
from store.database import Connection, connect
from store.moments import moment
from tests.federation.access.test_audit import chain, seen
from tests.federation.identity.cities import DAY, NOW

pytestmark = pytest.mark.services

LATER = NOW + 2 * DAY


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as found:
        yield found


def written(connection: Connection, agreement: str, count: int) -> list[AuditRow]:
    """A chain, a line a millisecond from NOW on, of an agreement that is known."""
    rows = chain(count, agreement)
    for row in rows:
        connection.execute(
            "INSERT INTO audit VALUES (%s, %s, %s, %s)", (agreement, row.sequence, moment(row.at), row.line)
        )
    connection.execute(
        "INSERT INTO agreements SELECT %s, 1, 'us', 'them', 'hue', '', '', '{}', now(), now(), true, 1, 1, 1",
        (agreement,),
    )
    return rows


def verified(connection: Connection, *vouched: Witness) -> list[VerifiedAudit]:
    return list(verify_audit(audit_rows(connection), vouched, audit_checkpoints(connection)))


def test_old_lines_go_and_what_is_left_is_verified_from_the_checkpoint_on(connection) -> None:
    rows = written(connection, "one", 6)
    assert prune_chain(connection, "one", NOW + 3, 2) == 2
    assert prune_chain(connection, "one", NOW + 3, 100) == 1
    assert [row.sequence for row in audit_rows(connection)] == [4, 5, 6]
    assert {of: last for of, (last, _) in lines_removed(connection).items()} == {"one": 3}
    [found] = verified(connection, *map(seen, rows))
    assert (found.broken, found.removed, found.head, found.witnessed) == (None, 3, end_of(rows[5]), 4)
    connection.execute("DELETE FROM audit WHERE sequence = 4")
    [found] = verified(connection)
    assert found.broken is not None and found.broken.sequence == 4
    other = Witness("one", end_of(rows[3]), "a partner")
    connection.execute("UPDATE audit_checkpoints SET sequence = 4, hash = repeat('0', 64)")
    [found] = verified(connection, other)
    assert found.broken is not None and "a partner names another hash of line 4" in str(found.broken)


def test_the_last_line_of_a_chain_stays_whatever_its_age_and_one_that_was_removed_is_missed(connection) -> None:
    rows = written(connection, "one", 3)
    prune = AuditPruning(1)
    assert prune(connection, LATER) == 2
    assert prune(connection, LATER) == 0
    assert oldest_line(connection) is None
    assert audit_head(connection, "one") == end_of(rows[2])
    connection.execute("DELETE FROM audit")
    [found] = verified(connection)
    assert found.broken is not None and "no last line is ever removed" in str(found.broken)


def test_a_chain_that_is_not_as_it_was_written_keeps_its_lines_and_is_named_once(connection, caplog) -> None:
    written(connection, "one", 4)
    written(connection, "other", 4)
    connection.execute("UPDATE audit SET line = 'x' WHERE agreement = 'one' AND sequence = 2")
    prune = AuditPruning(1)
    with caplog.at_level(logging.ERROR):
        assert prune(connection, LATER) == 3
        prune(connection, LATER + DAY)
    [words] = caplog.messages
    assert words.startswith("no line of the audit of agreement one is removed")
    assert [(row.agreement, row.sequence) for row in audit_rows(connection)] == [
        *(("one", number) for number in range(1, 5)),
        ("other", 4),
    ]


def test_assertions_go_by_their_age_but_not_those_of_a_day_which_must_not_be_accepted_again(connection) -> None:
    for jti in ("old", "new"):
        assert issue(connection, agreement="one", issuer="them", jti=jti, assertion="a.b.c", life_s=900)
    connection.execute("UPDATE assertions SET received_at = now() - interval '2 days' WHERE jti = 'old'")
    now = connection.execute("SELECT extract(epoch FROM now()) * 1000").fetchone()
    assert now is not None
    assert AuditPruning(0)(connection, int(now[0]) + 9 * DAY) == 0
    assert AuditPruning(1)(connection, int(now[0]) + 9 * DAY) == 1
    assert connection.execute("SELECT jti FROM assertions").fetchall() == [("new",)]
