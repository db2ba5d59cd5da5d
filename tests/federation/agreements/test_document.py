"""An agreement is what both cities have signed, and nothing else is one."""

import json
from dataclasses import replace

import pytest

from federation import jose
from federation.agreements.document import LONGEST_FILE, BadAgreement, countersign, open_agreement, propose
from federation.agreements.installing import as_installed, check_ours
from federation.identity.document import open_identity
from federation.strict_json import dumps
from tests.federation.agreements.agreeing import TwoCities, party_of, terms
from tests.federation.identity.cities import DAY, NOW, SigningCity

CITIES = TwoCities()
STRANGER = SigningCity("stranger")


def refusal(file: bytes, now_ms: int | None = NOW, signatures: int = 2) -> str:
    with pytest.raises(BadAgreement) as refused:
        open_agreement(file, now_ms=now_ms, signatures=signatures)
    return refused.value.reason


def signed(change) -> bytes:
    """An agreement that both cities have signed after `change` was made to its payload."""
    payload = json.loads(CITIES.agreement().payload)
    change(payload)
    parts = [jose.sign(dumps(payload), city.identity, "sistercity-agreement").split(".") for city in CITIES.both()]
    signatures = [{"protected": protected, "signature": signature} for protected, _, signature in parts]
    return dumps({"payload": parts[0][1], "signatures": signatures})


def test_both_cities_sign_the_same_bytes_and_both_read_the_same_terms():
    found = CITIES.agreement()
    assert set(found.signers) == {CITIES.one.thumbprint, CITIES.other.thumbprint}
    assert found.other(CITIES.one.thumbprint).city == CITIES.other.city
    assert found.given_by(CITIES.one.city) == found.received_by(CITIES.other.city) == CITIES.grants()[0]


def test_both_cities_install_the_two_sides_of_one_agreement():
    limits = {"requests_per_minute": 7, "bytes_per_hour": 8, "concurrent_requests": 9}
    found = CITIES.agreement(grants=[terms("isfahan", "ho-chi-minh-city", ["waste.fill", "energy.import"], **limits)])
    ours, theirs = (as_installed(found, city.thumbprint) for city in CITIES.both())
    assert ours.metrics("given") == theirs.metrics("received") == ("energy.import", "waste.fill")
    assert ours.metrics("received") == theirs.metrics("given") == ()
    assert (ours.partner, theirs.partner) == (CITIES.other.thumbprint, CITIES.one.thumbprint)
    for side in (ours, theirs):  # of the one who gives nothing, too: heads and lost bodies may be asked of it
        assert (side.requests_per_minute, side.bytes_per_hour, side.concurrent_requests) == tuple(limits.values())


def test_the_file_of_an_agreement_is_the_same_whoever_wrote_it():
    found = CITIES.agreement()
    outer = json.loads(found.file)
    outer["signatures"].reverse()
    assert open_agreement(json.dumps(outer, indent=2).encode(), now_ms=NOW).file == found.file


CHANGES = {
    "one city in two spellings": lambda payload: payload.update(
        parties=[payload["parties"][0], payload["parties"][1] | {"city": "ISFAHAN"}],
        grants=[payload["grants"][0] | {"to": "ISFAHAN"}],
    ),
    "an address without TLS": lambda payload: payload["parties"][1].update(addresses=["http://hue.example"]),
    "an address with a user": lambda payload: payload["parties"][1].update(addresses=["https://x@hue.example"]),
    "a name that turns text around": lambda payload: payload["parties"][1].update(name="Isfahan\u202e"),
    "a metric with a wildcard": lambda payload: payload["grants"][0].update(metrics=["*"]),
    "a delay as text": lambda payload: payload["grants"][0].update(delay_seconds="0"),
    "a delay as truth": lambda payload: payload["grants"][0].update(delay_seconds=False),
    "a delay below zero": lambda payload: payload["grants"][0].update(delay_seconds=-1),
    "a time with another offset": lambda payload: payload["grants"][0].update(since="2026-01-01T00:00:00+07:00"),
    "no grant": lambda payload: payload.update(grants=[]),
    "a grant to a third city": lambda payload: payload["grants"][0].update(to="stranger"),
    "a grant from a third city": lambda payload: payload["grants"][0].update({"from": "stranger"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=[name.replace(" ", "-") for name in CHANGES])
def test_terms_that_are_none_are_refused_though_both_have_signed_them(change):
    open_agreement(signed(lambda payload: None), now_ms=NOW)
    assert refusal(signed(change)) == "malformed"


def test_a_file_beyond_256_kib_is_not_even_read():
    assert refusal(CITIES.file() + b" " * LONGEST_FILE) == "malformed"


def test_no_agreement_begins_more_than_a_day_before_it_is_signed_by_either_city():
    begins = {"valid_from": NOW - DAY, "valid_until": NOW + DAY}
    proposal = CITIES.proposal(**begins)
    countersign(proposal, CITIES.other.identity, now_ms=NOW)
    for sign_late in (
        lambda: CITIES.proposal(valid_from=NOW - DAY - 1),
        lambda: countersign(proposal, CITIES.other.identity, now_ms=NOW + 1),
    ):
        with pytest.raises(BadAgreement) as refused:
            sign_late()
        assert refused.value.reason == "back-dated"


def test_a_proposal_is_accepted_by_the_other_city_and_by_nobody_else():
    proposal = CITIES.proposal()
    for key, reason in ((CITIES.one.identity, "one-signature"), (STRANGER.identity, "unknown-key")):
        with pytest.raises(BadAgreement) as refused:
            countersign(proposal, key, now_ms=NOW)
        assert refused.value.reason == reason
    with pytest.raises(BadAgreement) as refused:
        countersign(proposal, CITIES.other.identity, now_ms=NOW + 30 * DAY)
    assert refused.value.reason == "expired"


def test_a_stranger_proposes_nothing_for_others():
    with pytest.raises(BadAgreement) as refused:
        CITIES.proposal(key=STRANGER.identity)
    assert refused.value.reason == "unknown-key"
    with pytest.raises(BadAgreement) as refused:
        CITIES.agreement().party(STRANGER.thumbprint)
    assert refused.value.reason == "not-a-party"


def test_parties_under_each_others_names_are_noticed_by_both():
    one, other = map(party_of, CITIES.both())
    swapped = (replace(one, city=other.city), replace(other, city=one.city))
    proposal = propose(
        swapped,
        CITIES.grants(),
        witness=False,
        valid_from=NOW,
        valid_until=NOW + DAY,
        key=CITIES.one.identity,
        now_ms=NOW,
    )
    for city in CITIES.both():
        own = open_identity(city.document(), pinned=None, now_ms=NOW)
        with pytest.raises(BadAgreement) as refused:
            check_ours(open_agreement(proposal, now_ms=NOW, signatures=1), own, ["energy.import"])
        assert refused.value.reason == "swapped-parties"


def test_a_city_gives_no_metric_that_it_does_not_have_and_may_get_one():
    found, own = CITIES.agreement(), open_identity(CITIES.one.document(), pinned=None, now_ms=NOW)
    with pytest.raises(BadAgreement) as refused:
        check_ours(found, own, ["waste.fill"])
    assert refused.value.reason == "unknown-metric"
    check_ours(CITIES.agreement(grants=[CITIES.grants()[1]]), own, [])


def test_a_renewal_names_what_it_supersedes_and_keeps_the_id():
    first = CITIES.agreement()
    second = CITIES.agreement(renews=first, valid_until=NOW + 60 * DAY)
    assert (second.id, second.version, second.supersedes) == (first.id, 2, first.hash)
