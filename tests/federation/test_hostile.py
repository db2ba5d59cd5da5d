"""A partner that says what it must not is refused with a clear word, and nothing of it is stored, signed or not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from federation import jose
from federation.identity.document import RevokedKey
from federation.publications.chain import ChainEnd
from store.publications import Window
from tests.federation.forging import header, jws
from tests.federation.identity.cities import DAY, NOW, online
from tests.federation.stage import Stage
from tests.federation.talking import BEGIN, HOUR, IMPORT, QUICK, SOLAR, Json, Published, Reply, TalkingCity

pytestmark = pytest.mark.services

METRIC = IMPORT.name
GOOD = (2, 2, 2)


def cell(index: int = 0, drop: str | None = None, **change: Any) -> Callable[[Json], None]:
    """An edit of one cell of a body."""

    def edit(body: Json) -> None:
        body["cells"][index].update(change)
        if drop:
            del body["cells"][index][drop]

    return edit


def text_for(text: str, old: str) -> Callable[[Json], bytes]:
    """The body's JSON with a part of it replaced, for JSON that json.dumps would not write."""
    return lambda body: json.dumps(body).replace(old, text, 1).encode()


BODIES: dict[str, tuple[str, Callable[[Json], Any]]] = {
    "value a text": ("malformed", cell(value="500")),
    "value a fraction": ("malformed", cell(value=500.5)),
    "value a whole float": ("malformed", cell(value=500.0)),
    "value true": ("malformed", cell(value=True)),
    "value null": ("malformed", cell(value=None)),
    "value beyond bigint": ("malformed", cell(value=2**63)),
    "value of 5000 digits": ("malformed", text_for("9" * 5000, "500")),
    "value with an exponent": ("malformed", text_for("5e2", "500")),
    "value NaN": ("malformed", text_for("NaN", "500")),
    "released without value": ("malformed", cell(drop="value")),
    "released without coverage": ("malformed", cell(drop="coverage")),
    "suppressed with value": ("malformed", cell(1, value=5)),
    "coverage in percent": ("malformed", cell(coverage=99)),
    "a count of contributors": ("malformed", cell(contributors=3)),
    "unknown status": ("malformed", cell(status="hidden\nforged log line")),
    "area beyond integer": ("malformed", cell(area=2**31)),
    "a null character": ("malformed", cell(rule="a\x00b")),
    "a text that runs backwards": ("malformed", cell(rule="a\u202eb")),
    "half a surrogate": ("malformed", text_for('"rule": "\\ud800"', f'"rule": "{IMPORT.rule}"')),
    "the same cell twice": ("malformed", lambda body: body["cells"].append(body["cells"][1])),
    "cells out of order": ("malformed", lambda body: body["cells"].reverse()),
    "a name twice": ("malformed", text_for('"value": 1, "value": 500', '"value": 500')),
    "a withdrawn cell": (
        "malformed",
        cell(1, status="withdrawn"),
    ),
    "very deep": ("malformed", text_for("[" * 50_000, "[")),
    "not UTF-8": ("malformed", lambda body: b'{"sequence":"\xff"}'),
    "a list": ("malformed", lambda body: b"[]"),
    "an area that the catalogue has not": ("not-in-catalogue", cell(1, area=3)),
    "a class that the catalogue has not": ("not-in-catalogue", cell(1, **{"class": "z"})),
    "another unit": ("other-unit", lambda body: body.update(unit="kWh")),
    "another window": ("other-entry", lambda body: body["window"].update(start="2025-06-01T03:00:00Z")),
    "another revision": ("other-entry", lambda body: body.update(revision=1)),
    "another sequence": ("other-entry", lambda body: body.update(sequence=2)),
    "an unknown format": ("unknown-format", lambda body: body.update(format=2)),
}


@pytest.mark.parametrize(("reason", "edit"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_wrong_is_refused_although_its_city_signed_it(
    stage: Stage, hue: TalkingCity, reason: str, edit: Callable[[Json], Any]
) -> None:
    hue.publish(2, edit=edit)
    hue.sign()
    assert stage.refused() == reason
    assert stage.stored() == (3, 2, 2)


def entry(**change: Any) -> Callable[[TalkingCity], Published]:
    return lambda city: city.publish(2, entry=lambda made: replace(made, **change))


def numbered(sequence: int) -> Callable[[TalkingCity], Published]:
    return lambda city: city.publish(2, sequence=sequence)


def windowed(start: int, end: int) -> Callable[[TalkingCity], Published]:
    return lambda city: city.publish(2, window=Window(start, end))


ENTRIES: dict[str, tuple[str, Callable[[TalkingCity], Published]]] = {
    "of another city": ("other-city", entry(city="da-nang")),
    "that follows another": ("other-history", entry(before="0" * 64)),
    "that follows none": ("other-history", entry(before=None)),
    "with a gap": ("gap", numbered(4)),
    "again": ("repeated", numbered(2)),
    "of tomorrow": ("future", windowed(NOW - NOW % DAY + DAY, NOW - NOW % DAY + DAY + HOUR)),
    "of half past": ("off-grid", windowed(BEGIN + HOUR // 2, BEGIN + HOUR + HOUR // 2)),
    "of two hours": ("off-grid", windowed(BEGIN, BEGIN + 2 * HOUR)),
}


@pytest.mark.parametrize(("reason", "publish"), ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_that_does_not_continue_its_chain_or_is_of_no_window_is_refused_with_its_page(
    stage: Stage, hue: TalkingCity, reason: str, publish: Callable[[TalkingCity], Published]
) -> None:
    stage.pull()
    publish(hue)
    publish_next = hue.publish(3)  # so that what is wrong is not the first entry that we get
    assert publish_next.body
    hue.sign()
    before = hue.edits.get("/v1/entries")
    assert before is None
    failed = stage.refused() if reason != "other-history" else contradicted_or_refused(stage)
    assert failed in (reason, "contradicted")
    assert stage.stored() == GOOD


def contradicted_or_refused(stage: Stage) -> str:
    stage.pull()
    return str(stage.rows("SELECT reason FROM pulls WHERE reason IS NOT NULL")[0][0])


def forged(city: TalkingCity, typ: str = "sistercity-head", **changed: Any) -> str:
    """The newest head with another header, signed by the right key."""
    payload = jose.claimed_payload(city.heads[-1])
    return jws(header(city.keys.publish, typ, **changed), payload, city.keys.publish)


def head_with(text: Callable[[TalkingCity], str]) -> Callable[[TalkingCity], None]:
    def change(city: TalkingCity) -> None:
        city.publish(2)
        city.sign()
        city.heads.append(text(city))

    return change


def signed(**changed: Any) -> Callable[[TalkingCity], None]:
    def change(city: TalkingCity) -> None:
        city.publish(2)
        city.sign(**changed)

    return change


def by_access_key(city: TalkingCity) -> None:
    city.publish(2)
    city.sign(key=city.keys.access)


def by_revoked_key(city: TalkingCity) -> None:
    """The head bears a time before the revocation; that it comes after it is what counts."""
    city.publish(2)
    city.sign(now_ms=NOW - DAY)
    city.identity = city.keys.document(2, revoked=[_revoked(city)])


def _revoked(city: TalkingCity) -> Any:
    return RevokedKey(jose.thumbprint(city.keys.publish), NOW, "stolen")


HEADS: dict[str, tuple[str, Callable[[TalkingCity], None]]] = {
    "forged": ("forged", head_with(lambda city: city.heads[-1][:-8] + "AAAAAAAA")),
    "of no algorithm": ("wrong-algorithm", head_with(lambda city: forged(city, alg="none"))),
    "of another algorithm": ("wrong-algorithm", head_with(lambda city: forged(city, alg="EdDSA"))),
    "of another type": ("wrong-type", head_with(lambda city: forged(city, typ="sistercity-identity"))),
    "by an unknown key": ("unknown-key", signed(key=jose.new_key())),
    "by a key for access": ("unknown-key", by_access_key),
    "by a revoked key, dated back": ("unknown-key", by_revoked_key),
    "expired": ("expired", signed(now_ms=NOW - 8 * DAY, key=None)),
    "of tomorrow": ("not-yet-valid", signed(now_ms=NOW + DAY)),
    "of another city": ("other-city", signed(city="da-nang")),
    "not a head": ("malformed", head_with(lambda city: "no head")),
    "of another hash": ("other-history", signed(ends={METRIC: ChainEnd(3, "0" * 64)})),
    "of more than is given": ("withheld", signed(ends={METRIC: ChainEnd(9, "0" * 64)})),
}


@pytest.mark.parametrize(("reason", "change"), HEADS.values(), ids=HEADS.keys())
def test_a_head_that_proves_nothing_is_refused_and_what_was_received_stays(
    stage: Stage, hue: TalkingCity, reason: str, change: Callable[[TalkingCity], None]
) -> None:
    hue.identity = hue.keys.document(
        keys=[online("publish", hue.keys.publish, NOW - 30 * DAY), online("access", hue.keys.access)]
    )
    stage.pull()
    if reason == "expired":
        change = signed(now_ms=NOW - 8 * DAY)
    change(hue)
    if reason == "unknown-key" and hue.identity != hue.keys.document():
        hue.identity = _with_the_same_keys(hue)
    assert stage.refused() == reason
    assert stage.stored() == GOOD


def _with_the_same_keys(city: TalkingCity) -> str:
    """A later document that lists what the first one listed, and the revocation if there is one."""
    listed = [online("publish", city.keys.publish, NOW - 30 * DAY), online("access", city.keys.access)]
    payload = json.loads(jose.claimed_payload(city.identity))
    revoked = [_revoked(city)] if payload["revoked"] else []
    return city.keys.document(2, keys=listed, revoked=revoked)


def test_a_head_that_goes_back_in_number_is_refused(stage: Stage, hue: TalkingCity) -> None:
    hue.say(2)
    stage.pull()
    hue.edits["/v1/head"] = lambda reply: replace(reply, body=hue.heads[0].encode())
    assert stage.refused() == "older-head"
    assert stage.stored() == (3, 3, 3)


IDENTITIES: dict[str, tuple[str, Callable[[TalkingCity], str]]] = {
    "of another key": ("other-identity", lambda city: TalkingCity("hue").keys.document()),
    "forged": ("forged", lambda city: city.keys.document(3)[:-8] + "AAAAAAAA"),
    "of a lower version": ("lower-version", lambda city: city.keys.document(1)),
    "another of the same version": ("other-document", lambda city: city.keys.document(2, name="Elsewhere")),
    "of another city": ("other-city", lambda city: city.keys.document(3, city="da-nang")),
    "expired": ("expired", lambda city: city.keys.document(3, issued_at=NOW - 91 * DAY, expires_at=NOW - DAY)),
    "of tomorrow": ("not-yet-valid", lambda city: city.keys.document(3, issued_at=NOW + DAY)),
    "without a key that was listed": ("keys-dropped", lambda city: city.keys.document(3, keys=[])),
    "nothing": ("malformed", lambda city: ""),
}


@pytest.mark.parametrize(("reason", "document"), IDENTITIES.values(), ids=IDENTITIES.keys())
def test_an_identity_document_that_is_not_the_pinned_and_newest_one_is_refused(
    stage: Stage, hue: TalkingCity, reason: str, document: Callable[[TalkingCity], str]
) -> None:
    hue.identity = hue.keys.document(2)
    stage.pull()
    hue.identity = document(hue)
    hue.say(2)
    assert stage.refused() == reason
    assert stage.stored() == GOOD


def test_a_revoked_identity_ends_everything_under_it(stage: Stage, hue: TalkingCity) -> None:
    stage.pull()
    hue.say(2)
    hue.revoke()
    assert stage.refused() == "revoked"
    assert stage.stored() == GOOD
    hue.identity = hue.keys.document(9)
    assert stage.pull() == []  # no agreement with it is in force any more


def catalogue_with(change: Callable[[Json], Any]) -> Callable[[TalkingCity], None]:
    """A catalogue that is named by its entries, and wrong."""

    def edit(city: TalkingCity) -> None:
        content = json.loads(city.catalogue(METRIC))
        change(content)
        made = json.dumps(content).encode()
        city.catalogue = lambda metric: made  # type: ignore[method-assign]
        city.published.clear()
        city.heads.clear()
        city.say(0, 1)

    return edit


CATALOGUES: dict[str, tuple[str, Callable[[TalkingCity], None]]] = {
    "other bytes": ("other-catalogue", lambda city: city.edits.update({_path(city): lambda _: Reply(body=b"{}")})),
    "none": ("refused", lambda city: city.edits.update({_path(city): lambda _: Reply(404)})),
    "of another metric": ("other-catalogue", catalogue_with(lambda found: found.update(name=SOLAR.name))),
    "an area twice": ("malformed", catalogue_with(lambda found: found["areas"].append(found["areas"][0]))),
    "no class": ("malformed", catalogue_with(lambda found: found.update(classes=[]))),
    "a population below zero": ("malformed", catalogue_with(lambda found: found["areas"][0].update(population=-1))),
    "a name with an escape": ("malformed", catalogue_with(lambda found: found["areas"][0].update(name="a\x1b[2Jb"))),
    "a name that runs backwards": ("malformed", catalogue_with(lambda found: found.update(title="a\u202eb"))),
    "an unknown format": ("malformed", catalogue_with(lambda found: found.update(format=2))),
    "too long": ("too-large", catalogue_with(lambda found: found.update(more="x" * 200_000))),
    "facts of another city": ("other-city", lambda city: _facts(city, id="da-nang")),
    "facts of no zone": ("malformed", lambda city: _facts(city, zone="../../etc/passwd")),
}


def test_windows_follow_the_zone_that_the_entries_cover_whatever_the_city_says_of_itself_today(stage: Stage) -> None:
    city = TalkingCity()
    city.publish(0, window=Window(BEGIN + HOUR // 2, BEGIN + HOUR + HOUR // 2))
    city.sign()
    stage.meet(city)
    _facts(city, zone="Asia/Kolkata")  # half an hour off: such hours are on its grid
    assert stage.refused() == "off-grid"


def test_a_catalogue_without_a_zone_goes_by_that_of_the_city(stage: Stage) -> None:
    city = TalkingCity()
    catalogue_with(lambda found: found.pop("zone"))(city)
    stage.meet(city)
    _facts(city, zone="Asia/Kolkata")
    assert stage.refused() == "off-grid"
    _facts(city, zone=city.zone)
    assert stage.pull()[0].failure is None


def _path(city: TalkingCity) -> str:
    return f"/v1/catalogues/{city.published[0].entry.catalogue}"


def _facts(city: TalkingCity, **change: str) -> None:
    facts = city.facts()
    facts["city"].update(change)
    city.edits["/v1/catalog"] = lambda _: Reply(body=json.dumps(facts).encode())


@pytest.mark.parametrize(("reason", "change"), CATALOGUES.values(), ids=CATALOGUES.keys())
def test_a_catalogue_that_is_wrong_is_refused_with_all_that_it_defines(
    stage: Stage, hue: TalkingCity, reason: str, change: Callable[[TalkingCity], None]
) -> None:
    change(hue)
    assert stage.refused(replace(QUICK, catalogue_bytes=100_000)) == reason
    assert stage.stored() == (0, 0, 0)
