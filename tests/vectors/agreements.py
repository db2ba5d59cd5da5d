"""Vectors of agreements: the file that both cities have signed, or a proposal that one of them has."""

from typing import Any

from tests.vectors.signing import IDENTITY, PUBLISH, SAIGON, STRANGER, FixedKey, Json, b64, compact, digest
from tests.vectors.vector import NOW, Vector, bad, good

TYP = "sistercity-agreement"
ID = "c2lzdGVyY2l0eS12ZWN0bw"


def party(key: FixedKey, city: str, name: str) -> Json:
    place = f"exchange.{city}.example"
    addresses = [f"https://{place}"]
    return {"city": city, "name": name, "identity_key": key.jwk, "addresses": addresses, "contact": f"office@{place}"}


PARTIES = [party(IDENTITY, "isfahan", "اصفهان"), party(SAIGON, "ho-chi-minh-city", "Thành phố Hồ Chí Minh")]


def grant(giver: str, receiver: str, **changed: Any) -> Json:
    return {
        "from": giver,
        "to": receiver,
        "metrics": ["energy.import", "waste.fill"],
        "since": "2026-01-01T00:00:00Z",
        "delay_seconds": 3600,
        "purpose": "to compare what energy saving has brought",
        "retention_days": 365,
        "requests_per_minute": 600,
        "bytes_per_hour": 1073741824,
        "concurrent_requests": 4,
        **changed,
    }


THERE = grant("isfahan", "ho-chi-minh-city")
BACK = grant("ho-chi-minh-city", "isfahan", metrics=["energy.import"])


def terms(**changed: Any) -> Json:
    return {
        "format": 1,
        "id": ID,
        "version": 1,
        "supersedes": None,
        "parties": PARTIES,
        "grants": [THERE, BACK],
        "witness": True,
        "valid_from": "2026-12-01T00:00:00Z",
        "valid_until": "2027-12-01T00:00:00Z",
        **changed,
    }


def signed(payload: Json | bytes, *keys: FixedKey, **header: object) -> Json:
    """The general JSON serialisation of JWS."""
    text = b64(payload if isinstance(payload, bytes) else compact(payload))
    signatures = []
    for key in keys:
        protected = b64(compact(key.header(TYP, **header)))
        signatures.append({"protected": protected, "signature": key.signature(protected, text)})
    return {"payload": text, "signatures": signatures}


BOTH = (IDENTITY, SAIGON)


def agreed(**changed: Any) -> bytes:
    return compact(signed(terms(**changed), *BOTH))


def agreements() -> list[Vector]:
    return [*_good(), *_badly_signed(), *_badly_written(), *_contradicting_itself(), *_after_another()]


def _given(signatures: int = 2, now: str = NOW, **more: object) -> Json:
    return {"now": now, "signatures": signatures, **more}


def _renewed(**changed: Any) -> bytes:
    before = digest(compact(terms()))
    times = {"valid_from": "2027-11-01T00:00:00Z", "valid_until": "2028-10-31T00:00:00Z"}
    return agreed(**{"version": 2, "supersedes": before, **times, **changed})


def _good() -> list[Vector]:
    leap = agreed(valid_until="2027-12-02T00:00:00Z")
    return [
        good("signed by both", agreed(), **_given()),
        good("signed by both, in the other order", compact(signed(terms(), SAIGON, IDENTITY)), **_given()),
        good("with blanks and line ends in the file", agreed().replace(b",", b",\n  "), **_given()),
        good("a proposal", compact(signed(terms(), IDENTITY)), **_given(1)),
        good("that only one city gives under", agreed(grants=[BACK]), **_given()),
        good("that holds later", agreed(), **_given(now="2026-11-01T00:00:00Z")),
        good("of 366 days", leap, **_given()),
        good("with fields of a later version", agreed(sister=[1]), **_given()),
        good("a renewal", _renewed(), **_given(before=agreed().decode())),
    ]


def _badly_signed() -> list[Vector]:
    both = signed(terms(), *BOTH)
    first, second = both["signatures"]
    swapped = {"payload": b64(compact(terms(witness=False))), "signatures": both["signatures"]}
    crossed = [{**first, "signature": second["signature"]}, second]
    unprotected = [{**first, "header": {"jku": "https://isfahan.example"}}, second]
    flattened = {"payload": both["payload"], **first}
    texts: dict[str, tuple[str, Json]] = {
        "signed by one": ("one-signature", signed(terms(), IDENTITY)),
        "signed twice by one": ("one-signature", signed(terms(), IDENTITY, IDENTITY)),
        "signed by three": ("malformed", signed(terms(), *BOTH, STRANGER)),
        "signed by nobody": ("malformed", {"payload": both["payload"], "signatures": []}),
        "signed by a stranger": ("unknown-key", signed(terms(), IDENTITY, STRANGER)),
        "signed by an online key": ("unknown-key", signed(terms(), PUBLISH, SAIGON)),
        "other terms": ("forged", swapped),
        "each other's signature": ("forged", {"payload": both["payload"], "signatures": crossed}),
        "EdDSA": ("wrong-algorithm", signed(terms(), *BOTH, alg="EdDSA")),
        "none": ("wrong-algorithm", signed(terms(), *BOTH, alg="none")),
        "signed as a head": ("wrong-type", signed(terms(), *BOTH, typ="sistercity-head")),
        "an unprotected header": ("malformed", {"payload": both["payload"], "signatures": unprotected}),
        "flattened": ("malformed", flattened),
        "with more fields in the file": ("malformed", {**both, "header": {}}),
        "padding": ("malformed", {**both, "payload": both["payload"] + "="}),
    }
    vectors = [bad(why, name, compact(content), **_given()) for name, (why, content) in texts.items()]
    return [
        *vectors,
        bad("malformed", "no JSON", IDENTITY.sign(terms(), TYP), **_given()),
        bad("malformed", "a proposal signed by both", agreed(), **_given(1)),
        bad(
            "malformed", "payload twice", agreed().replace(b'{"payload"', b'{"payload":"e30","payload"', 1), **_given()
        ),
    ]


def _badly_written() -> list[Vector]:
    plain = compact(terms())
    texts = {
        "a name twice": plain.replace(b'"witness":true', b'"witness":false,"witness":true'),
        "a fraction": plain.replace(b'"delay_seconds":3600', b'"delay_seconds":0.5', 1),
        "no object": b"null",
    }
    fields: dict[str, Json] = {
        "an id that is too short": {"id": ID[:-1]},
        "an id that is not canonical": {"id": ID[:-1] + "x"},
        "version 0": {"version": 0},
        "witness as text": {"witness": "true"},
        "an end before its beginning": {"valid_until": "2026-11-30T00:00:00Z"},
        "a first version that supersedes one": {"supersedes": digest(b"")},
        "a second version that supersedes none": {"version": 2},
        "three parties": {"parties": [*PARTIES, party(STRANGER, "hue", "Huế")]},
        "a control character in a purpose": {"grants": [grant("isfahan", "ho-chi-minh-city", purpose="a\tb")]},
        "a delay below zero": {"grants": [grant("isfahan", "ho-chi-minh-city", delay_seconds=-1)]},
        "no requests": {"grants": [grant("isfahan", "ho-chi-minh-city", requests_per_minute=0)]},
        "no metrics": {"grants": [grant("isfahan", "ho-chi-minh-city", metrics=[])]},
        "a metric twice": {"grants": [grant("isfahan", "ho-chi-minh-city", metrics=["waste.fill"] * 2)]},
    }
    long = agreed(valid_until="2027-12-02T00:00:01Z")
    return [
        *(bad("malformed", name, compact(signed(text, *BOTH)), **_given()) for name, text in texts.items()),
        *(bad("malformed", name, agreed(**changed), **_given()) for name, changed in fields.items()),
        bad("unknown-format", "a later format", agreed(format=2), **_given()),
        bad("unknown-format", "a format that is true", agreed(format=True), **_given()),
        bad("too-long", "of more than 366 days", long, **_given()),
        bad("expired", "that is over", agreed(), **_given(now="2027-12-01T00:00:00Z")),
    ]


def _contradicting_itself() -> list[Vector]:
    same_city = [PARTIES[0], party(SAIGON, "isfahan", "Isfahan")]
    same_key = [PARTIES[0], party(IDENTITY, "ho-chi-minh-city", "Ho Chi Minh City")]
    private = [PARTIES[0], {**PARTIES[1], "identity_key": {**SAIGON.jwk, "d": b64(SAIGON.seed)}}]
    return [
        bad("malformed", "two parties of one city", agreed(parties=same_city), **_given()),
        bad("malformed", "two parties with one key", compact(signed(terms(parties=same_key), IDENTITY)), **_given(1)),
        bad("malformed", "two grants in one direction", agreed(grants=[THERE, THERE]), **_given()),
        bad("malformed", "a grant to a third city", agreed(grants=[grant("isfahan", "hue")]), **_given()),
        bad("malformed", "a grant to itself", agreed(grants=[grant("isfahan", "isfahan")]), **_given()),
        bad("bad-key", "a private key", agreed(parties=private), **_given()),
    ]


def _after_another() -> list[Vector]:
    before = agreed().decode()
    other = [PARTIES[0], party(STRANGER, "ho-chi-minh-city", "Thành phố Hồ Chí Minh")]
    times = {"valid_from": "2027-11-01T00:00:00Z", "valid_until": "2028-10-31T00:00:00Z"}
    supersedes = digest(compact(terms()))
    foreign = signed(terms(version=2, supersedes=supersedes, parties=other, **times), IDENTITY, STRANGER)
    return [
        bad("rolled-back", "an older version", agreed(), **_given(before=_renewed().decode())),
        bad("contradiction", "another of its version", agreed(witness=False), **_given(before=before)),
        bad("contradiction", "supersedes other terms", _renewed(supersedes=digest(b"")), **_given(before=before)),
        bad("contradiction", "leaves a version out", _renewed(version=3), **_given(before=before)),
        bad("other-identity", "renewed with another identity", compact(foreign), **_given(before=before)),
    ]
