"""Signed heads: what is refused, and what two of them prove."""

from dataclasses import replace

import pytest

from federation import jose
from federation.identity.document import Identity, OnlineKey, RevokedKey, open_identity, sign_identity
from federation.publications.chain import BrokenChain, ChainEnd
from federation.publications.entries import digest
from federation.publications.heads import LASTS_MS, BadHead, SignedHead, contradiction, covered, open_head, sign_head
from federation.strict_json import dumps, loads

NOW = 1_795_000_000_000
DAY = 86_400_000
LOG = "6c1f2c1e-8f2a-4b6e-9d57-0a4f4f1c2b3d"
MASTER, PUBLISH, ACCESS, STRANGER = (jose.new_key() for _ in range(4))
ENDS = {"energy.import": ChainEnd(3, digest(b"3")), "traffic.count": ChainEnd(8, digest(b"8"))}


def identity(*revoked: RevokedKey, not_after: int = NOW + 30 * DAY) -> Identity:
    times = (NOW - 30 * DAY, not_after)
    listed = [OnlineKey("publish", jose.thumbprint(PUBLISH), *times, PUBLISH)]
    listed.append(OnlineKey("access", jose.thumbprint(ACCESS), *times, ACCESS))
    document = sign_identity(
        MASTER,
        city="isfahan",
        name="Isfahan",
        addresses=["https://exchange.isfahan.example"],
        contact="exchange@isfahan.example",
        version=1,
        issued_at=NOW,
        expires_at=NOW + 30 * DAY,
        keys=listed,
        revoked=revoked,
    )
    return open_identity(document, pinned=jose.thumbprint(MASTER), now_ms=NOW)


ISFAHAN = identity()


def signed(key=PUBLISH, *, city="isfahan", number=12, ends=ENDS, audit=None, now_ms=NOW) -> str:
    return sign_head(key, city=city, log=LOG, number=number, position=40, ends=ends, audit=audit, now_ms=now_ms)


def opened(**changes) -> SignedHead:
    return open_head(signed(**changes), ISFAHAN, None)


def test_a_head_says_what_was_signed_and_leaves_out_metrics_from_before_the_ledger() -> None:
    text = signed(ends={**ENDS, "older": ChainEnd(9, None)}, audit=digest(b"audit"))
    head = open_head(text, ISFAHAN, NOW)
    assert (head.city, head.number, head.position, head.ends) == ("isfahan", 12, 40, ENDS)
    assert (head.issued_at, head.expires_at, head.audit) == (NOW, NOW + LASTS_MS, digest(b"audit"))
    assert (head.document, head.kid) == (text, jose.thumbprint(PUBLISH))


REVOKED = identity(RevokedKey(jose.thumbprint(PUBLISH), NOW, "lost"))


@pytest.mark.parametrize(
    ("text", "at", "by", "reason"),
    [
        (signed(STRANGER), NOW, ISFAHAN, "unknown-key"),
        (signed(ACCESS), NOW, ISFAHAN, "unknown-key"),
        (signed(MASTER), NOW, ISFAHAN, "unknown-key"),
        (signed(), NOW, REVOKED, "unknown-key"),
        (signed(now_ms=NOW - 2 * DAY), NOW, REVOKED, "unknown-key"),
        (signed(), NOW, identity(not_after=NOW - DAY), "unknown-key"),
        (signed(city="hue"), NOW, ISFAHAN, "other-city"),
        (signed(), NOW + LASTS_MS + 2 * 60_000, ISFAHAN, "expired"),
        (signed(), NOW - 2 * 60_000, ISFAHAN, "not-yet-valid"),
        (jose.sign(b"{}", PUBLISH, "sistercity-identity"), NOW, ISFAHAN, "wrong-type"),
        (jose.sign(b"{}", PUBLISH, "sistercity-head"), NOW, ISFAHAN, "malformed"),
        (jose.sign(b"[]", PUBLISH, "sistercity-head"), NOW, ISFAHAN, "malformed"),
        (signed()[:-9] + "AAAAAAAAA", NOW, ISFAHAN, "forged"),
        ("x", NOW, ISFAHAN, "malformed"),
    ],
)
def test_a_head_that_must_not_count_is_refused(text, at, by, reason) -> None:
    with pytest.raises(BadHead) as raised:
        open_head(text, by, at)
    assert raised.value.reason == reason


def changed(**changes) -> str:
    content = loads(opened().payload)
    return jose.sign(dumps({**content, **changes}), PUBLISH, "sistercity-head")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "unknown-format"),
        ({"expires_at": "2027-11-27T00:00:00Z"}, "too-long"),
        ({"number": True}, "malformed"),
        ({"number": -1}, "malformed"),
        ({"position": 1.0}, "malformed"),
        ({"metrics": {"energy.import": {"sequence": 3, "hash": "AB"}}}, "malformed"),
        ({"metrics": {f"m{n}": {"sequence": 3, "hash": digest(b"")} for n in range(301)}}, "malformed"),
        ({"metrics": {"\u202e": {"sequence": 3, "hash": digest(b"")}}}, "malformed"),
        ({"audit": "x"}, "malformed"),
        ({"city": ""}, "malformed"),
    ],
)
def test_a_head_of_another_shape_is_refused(changes, reason) -> None:
    assert open_head(changed(later="a field of a later version"), ISFAHAN, NOW).number == opened().number
    with pytest.raises(BadHead) as raised:
        open_head(changed(**changes), ISFAHAN, NOW)
    assert raised.value.reason == reason


def test_two_heads_of_one_number_are_a_contradiction_unless_they_are_the_same() -> None:
    assert contradiction(opened(), opened()) is None
    assert "two heads of number 12" in contradiction(opened(), opened(ends={}))
    assert contradiction(opened(), replace(opened(ends={}), city="hue")) is None


def test_two_stories_and_a_head_that_goes_back_are_contradictions_in_either_order() -> None:
    other = {**ENDS, "energy.import": ChainEnd(3, digest(b"another 3"))}
    back = {**ENDS, "energy.import": ChainEnd(2, digest(b"2"))}
    on = {**ENDS, "energy.import": ChainEnd(4, digest(b"4")), "new": ChainEnd(1, digest(b"1"))}
    without = {"energy.import": ENDS["energy.import"]}
    for ends, words in (
        (other, "two entries 3 of energy.import"),
        (back, "goes back, of energy.import"),
        (without, "goes back, of traffic.count"),
        (on, None),
    ):
        pair = opened(), opened(number=13, ends=ends)
        found = {contradiction(*pair), contradiction(*reversed(pair))}
        assert found == {None} if words is None else len(found) == 1 and words in found.pop()


def test_a_head_covers_a_chain_that_leads_to_the_hash_that_it_names() -> None:
    head = opened()
    assert covered(head, "energy.import", ChainEnd(3, digest(b"3")))
    assert not covered(head, "energy.import", ChainEnd(2, digest(b"2")))
    for metric, end, reason in (
        ("energy.import", ChainEnd(3, digest(b"x")), "other-history"),
        ("energy.import", ChainEnd(4, digest(b"4")), "uncovered"),
        ("other", ChainEnd(1, digest(b"1")), "uncovered"),
    ):
        with pytest.raises(BrokenChain) as raised:
            covered(head, metric, end)
        assert raised.value.reason == reason
