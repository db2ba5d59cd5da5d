"""What doctor says of signed heads."""

import pytest

from federation import jose
from federation.identity.document import RevokedKey
from federation.publications.signing import Signer
from node.doctor.heads import HeadState, judge_heads, read_heads
from store.database import connect
from store.identities import save_own_identity
from tests.federation.city import HOUR, T0
from tests.federation.identity.cities import DAY, SigningCity, online
from tests.federation.restoring import CITY, due_at, publish_hours_until, twelve_hours

KEYS = SigningCity(CITY)
NOW = T0 + DAY


def judged(state: HeadState, now_ms: int = NOW) -> tuple[str, str]:
    [found] = judge_heads(state, now_ms)
    return found.level, found.words


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        (HeadState(0, True), "ok", "nothing was published"),
        (HeadState(3, True), "fail", "3 publications, and none is signed: partners take nothing"),
        (HeadState(3, False), "ok", "none is signed: there is no agreement"),
        (HeadState(3, True, NOW, counts=False), "fail", "refused by partners"),
        (HeadState(3, False, NOW, unsigned=2), "warn", "2 publications left after the newest one"),
        (HeadState(3, True, NOW - 27 * HOUR), "warn", "is 27 h old"),
        (HeadState(3, True, NOW - HOUR), "ok", "3 publications, all signed"),
    ],
)
def test_it_says_what_partners_would_not_take_and_what_to_do(state, level, words) -> None:
    said = judged(state)
    assert said[0] == level
    assert words in said[1]


@pytest.mark.services
def test_it_reads_whether_the_newest_head_counts_and_covers_what_has_left(database_url, tmp_path) -> None:
    twelve_hours(database_url)
    ledger, at = tmp_path / "ledger.jsonl", due_at(3) + HOUR
    with connect(database_url) as connection:
        for version in (1, 2):
            keys = [online("publish", KEYS.publish, T0 - DAY)]
            revoked = [RevokedKey(jose.thumbprint(KEYS.publish), T0, "lost")][: version - 1]
            document = KEYS.document(version, keys=keys, revoked=revoked, issued_at=T0, expires_at=NOW)
            save_own_identity(connection, KEYS.thumbprint, CITY, version, document, NOW)
            if version == 1:
                publish_hours_until(database_url, ledger, 1)
                assert read_heads(database_url, 5, at) == HeadState(2, False)
                publish_hours_until(database_url, ledger, 2, Signer(lambda: [KEYS.publish]))
                assert read_heads(database_url, 5, at) == HeadState(3, False, due_at(2))
                publish_hours_until(database_url, ledger, 3)
                assert read_heads(database_url, 5, at) == HeadState(4, False, due_at(2), unsigned=1)
    assert read_heads(database_url, 5, at) == HeadState(4, False, due_at(2), counts=False)
