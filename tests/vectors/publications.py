"""Vectors of what is published: catalogue, entries, bodies and heads."""

from typing import Any

from tests.vectors.identities import ISFAHANS, WITH_REVOKED_KEY
from tests.vectors.signing import (
    ACCESS,
    IDENTITY,
    OLD_PUBLISH,
    PUBLISH,
    STRANGER,
    Json,
    compact,
    digest,
    spoilt,
    with_payload,
)
from tests.vectors.vector import NOW, Vector, bad, good

METRIC = "energy.import"
SALT = digest(b"sistercity test salt")[:32]
FIRST_WINDOW = {"start": "2026-11-30T00:00:00Z", "end": "2026-11-30T01:00:00Z"}
SECOND_WINDOW = {"start": "2026-11-30T01:00:00Z", "end": "2026-11-30T02:00:00Z"}
TWO, THREE = "2026-11-30T02:15:00Z", "2026-11-30T03:15:00Z"


def catalogue(**changed: Any) -> Json:
    """The definition of a metric with two areas."""
    thresholds = [
        {"class": class_, "minimum": 15, "dominance_percent": 15, "minimum_of_largest": 0}
        for class_ in ("residential", "commercial")
    ]
    areas = [
        {"number": number, "name": name, "population": people, "valid_from": "2026-01-01T00:00:00Z"}
        for number, name, people in ((1, "Julfa", 84000), (2, "Jubareh", 61000))
    ]
    return {
        "format": 1,
        "name": METRIC,
        "title": "Energy from the grid",
        "definition": "Active energy that meters took from the grid.",
        "dataset": "energy.readings",
        "unit": "kWh",
        "smallest_unit": "mWh",
        "smallest_per_unit": 1000000,
        "base": 1000,
        "kind": "sum",
        "contributor": "meter",
        "classes": ["residential", "commercial"],
        "window": "hour",
        "zone": "UTC",
        "lateness_seconds": 3600,
        "rule": {"id": "customers-15-15", "words": "15/15", "source": "made up", "thresholds": thresholds},
        "areas": areas,
        **changed,
    }


CATALOGUE = compact(catalogue())


def cell(area: int, class_: str, value: int | None, status: str | None = None) -> Json:
    shown = {} if value is None else {"value": value, "coverage": "high"}
    state = status or ("suppressed" if value is None else "released")
    return {"area": area, "class": class_, "status": state, **shown, "rule": "customers-15-15"}


CELLS = [
    cell(1, "commercial", None),
    cell(1, "residential", 360_000_000),
    cell(2, "commercial", None, "incomplete"),
    cell(2, "residential", 9_007_199_254_741_000),
]


def body(**changed: Any) -> Json:
    return {
        "format": 1,
        "metric": METRIC,
        "unit": "mWh",
        "sequence": 1,
        "revision": 0,
        "window": FIRST_WINDOW,
        "published_at": TWO,
        "kind": "publication",
        "cells": CELLS,
        "salt": SALT,
        **changed,
    }


WITHDRAWN = {
    "sequence": 2,
    "revision": 1,
    "published_at": THREE,
    "kind": "withdrawal",
    "reason": "the meters of a district were read twice",
    "cells": [cell(area, class_, None, "withdrawn") for area in (1, 2) for class_ in ("commercial", "residential")],
}


def entry(content: bytes, **changed: Any) -> Json:
    """The first entry, of this body, and what is changed of it."""
    return {
        "format": 1,
        "city": "isfahan",
        "position": 5,
        "metric": METRIC,
        "sequence": 1,
        "window": FIRST_WINDOW,
        "revision": 0,
        "kind": "publication",
        "published_at": TWO,
        "before": None,
        "body": digest(content),
        "catalogue": digest(CATALOGUE),
        **changed,
    }


BODY = compact(body())
FIRST = compact(entry(BODY))
SECOND_BODY = compact(body(sequence=2, window=SECOND_WINDOW, published_at=THREE))
SECOND_FIELDS: Json = {
    "position": 9, "sequence": 2, "window": SECOND_WINDOW, "published_at": THREE, "before": digest(FIRST)
}  # fmt: skip


def second(**changed: Any) -> bytes:
    return compact(entry(SECOND_BODY, **{**SECOND_FIELDS, **changed}))


SECOND = second()
TAKEN_BACK = compact(body(**WITHDRAWN))
_EXPLAINED = {name: WITHDRAWN[name] for name in ("sequence", "revision", "published_at", "kind", "reason")}
WITHDRAWAL = compact(entry(TAKEN_BACK, **_EXPLAINED, position=9, before=digest(FIRST)))
_SKIPPED = body(sequence=40, window=SECOND_WINDOW, published_at=THREE, kind="skip", cells=[])


def _skip(before: str | None = None) -> bytes:
    changed = {**SECOND_FIELDS, "sequence": 40, "kind": "skip", "before": before}
    return compact(entry(compact(_SKIPPED), **changed))


SKIP = _skip()


def catalogues() -> list[Vector]:
    given = {"hash": digest(CATALOGUE)}
    later = compact(catalogue(sister=[1]))
    older = compact({name: value for name, value in catalogue().items() if name != "zone"})
    return [
        good("a metric", CATALOGUE, **given),
        good("with fields of a later version", later, hash=digest(later)),
        good("without a zone, as before that field", older, hash=digest(older)),
        bad("other-hash", "other areas", compact(catalogue(areas=[])), **given),
        bad("other-hash", "with a line's end", CATALOGUE + b"\n", **given),
        bad("other-hash", "written with blanks", CATALOGUE.replace(b",", b", "), **given),
        *(bad(why, name, content, hash=digest(content)) for name, (why, content) in _bad_catalogues().items()),
    ]


def _bad_catalogues() -> dict[str, tuple[str, bytes]]:
    area = catalogue()["areas"][0]
    return {
        "a later format": ("unknown-format", compact(catalogue(format=2))),
        "a name twice": ("malformed", CATALOGUE.replace(b'"unit":"kWh"', b'"unit":"Wh","unit":"kWh"')),
        "an area twice": ("malformed", compact(catalogue(areas=[area, area]))),
        "a class twice": ("malformed", compact(catalogue(classes=["residential", "residential"]))),
        "no classes": ("malformed", compact(catalogue(classes=[]))),
        "a zone that is none": ("malformed", compact(catalogue(zone="Asia/Jubareh"))),
        "a zone that is a path": ("malformed", compact(catalogue(zone="../../etc/passwd"))),
        "an area whose name runs backwards": (
            "malformed",
            compact(catalogue(areas=[{**area, "name": "Julfa\u2067"}])),
        ),
    }


def entries() -> list[Vector]:
    end = {"sequence": 1, "hash": digest(FIRST)}
    on: Json = {"city": "isfahan", "metric": METRIC, "end": end}
    anew: Json = {**on, "end": None}
    return [
        good("the first", FIRST, **anew),
        good("the next", SECOND, **on),
        good("with fields of a later version", second(sister=1), **on),
        good("a withdrawal", WITHDRAWAL, **on),
        good("the first of a chain that begins later", compact(entry(BODY, sequence=7)), **anew),
        good("a skip after a loss", SKIP, **on),
        good("a skip that names the last entry that was not lost", _skip(before=digest(FIRST)), **on),
        good("a skip that names an older entry", _skip(before=digest(b"older")), **on),
        *_off_the_chain(on, anew),
        *(bad(why, name, content, **on) for name, (why, content) in _bad_entries().items()),
    ]


def _off_the_chain(on: Json, anew: Json) -> list[Vector]:
    return [
        bad("broken-chain", "one is missing", second(sequence=3), **on),
        bad("broken-chain", "one comes again", FIRST, **on),
        bad("broken-chain", "rewritten history", second(before=digest(b"another first entry")), **on),
        bad("broken-chain", "no hash of the one before", second(before=None), **on),
        bad("broken-chain", "a first that names one before", SECOND, **anew),
        bad("broken-chain", "a first skip that names one before", _skip(before=digest(FIRST)), **anew),
        bad("broken-chain", "a skip that goes back", SKIP, **{**on, "end": {"sequence": 41, "hash": digest(FIRST)}}),
        bad("other-city", "another city's", second(city="hue"), **on),
        bad("other-metric", "another metric's", second(metric="waste.fill"), **on),
    ]


def _bad_entries() -> dict[str, tuple[str, bytes]]:
    forward, longer = {"start": THREE, "end": TWO}, "0" * 65
    return {
        "a later format": ("unknown-format", second(format=2)),
        "no format": ("unknown-format", compact({k: v for k, v in entry(BODY).items() if k != "format"})),
        "a name twice": ("malformed", SECOND.replace(b'"revision":0', b'"revision":1,"revision":0')),
        "not JSON": ("malformed", SECOND[:-1]),
        "a hash in upper case": ("malformed", second(body=digest(SECOND_BODY).upper())),
        "a hash that is too long": ("malformed", second(body=longer)),
        "a sequence with a fraction": ("malformed", SECOND.replace(b'"sequence":2', b'"sequence":2.0')),
        "a sequence as text": ("malformed", second(sequence="2")),
        "a sequence that is true": ("malformed", second(sequence=True)),
        "a sequence beyond 64 bits": ("malformed", second(sequence=2**63)),
        "a position of zero": ("malformed", second(position=0)),
        "a window that ends before it begins": ("malformed", second(window=forward)),
        "a time with an offset": ("malformed", second(published_at="2026-11-30T03:15:00+00:00")),
        "an unknown kind": ("malformed", second(kind="lost")),
        "a withdrawal without a reason": ("malformed", second(kind="withdrawal", revision=1)),
        "a publication with a reason": ("malformed", second(reason="none")),
        "a publication that is a revision": ("malformed", second(revision=1)),
        "a correction that is none": ("malformed", second(kind="correction")),
        "a reason with a control character": ("malformed", second(kind="withdrawal", revision=1, reason="\u001b[2J")),
    }


def bodies() -> list[Vector]:
    whole: Json = {"entry": FIRST.decode(), "catalogue": CATALOGUE.decode()}
    old = compact({name: value for name, value in body().items() if name != "format"})
    withdrawal = {**whole, "entry": WITHDRAWAL.decode()}
    later = compact(body(sister=1))
    return [
        good("a publication", BODY, **whole),
        good("of before format was written", old, **{**whole, "entry": compact(entry(old)).decode()}),
        good("with fields of a later version", later, **{**whole, "entry": compact(entry(later)).decode()}),
        good("a withdrawal", TAKEN_BACK, **withdrawal),
        bad("other-hash", "another body", SECOND_BODY, **whole),
        bad("other-hash", "another value", BODY.replace(b"360000000", b"360001000"), **whole),
        bad("other-hash", "another salt", compact(body(salt="0" * 32)), **whole),
        bad("other-hash", "with a line's end", BODY + b"\n", **whole),
        *(
            bad(why, name, content, **{**whole, "entry": compact(entry(content)).decode()})
            for name, (why, content) in _bad_bodies().items()
        ),
    ]


def _bad_bodies() -> dict[str, tuple[str, bytes]]:
    told = {**CELLS[1], "contributors": 17}
    hidden = {**CELLS[0], "value": 5, "coverage": "low"}
    cells: dict[str, list[Json]] = {
        "a cell with another field": [told],
        "a suppressed cell with a value": [hidden],
        "a released cell without a value": [cell(1, "residential", None, "released")],
        "a value that is rounded to a fraction": [{**CELLS[1], "value": 0.5}],
        "a value beyond 64 bits": [cell(1, "residential", 2**63)],
        "a cell twice": [CELLS[1], CELLS[1]],
        "cells out of order": [CELLS[1], CELLS[0]],
        "an unknown status": [cell(1, "residential", None, "hidden")],
        "a withdrawn cell of a publication": [cell(1, "residential", None, "withdrawn")],
    }
    claims: dict[str, Json] = {
        "another sequence than its entry's": {"sequence": 2},
        "another window than its entry's": {"window": SECOND_WINDOW},
        "another kind than its entry's": {"kind": "correction"},
        "another metric than its entry's": {"metric": "waste.fill"},
        "published at another time than its entry": {"published_at": THREE},
    }
    elsewhere: dict[str, Json] = {
        "another unit than the catalogue's": {"unit": "kWh"},
        "an area that is not in the catalogue": {"cells": [cell(3, "residential", 1000)]},
        "a class that is not in the catalogue": {"cells": [cell(1, "industrial", 1000)]},
    }
    return {
        **{name: ("malformed", compact(body(cells=content))) for name, content in cells.items()},
        **{name: ("other-entry", compact(body(**changed))) for name, changed in claims.items()},
        **{name: ("not-in-catalogue", compact(body(**changed))) for name, changed in elsewhere.items()},
        "a later format": ("unknown-format", compact(body(format=2))),
        "a name twice": ("malformed", BODY.replace(b'"value":360000000', b'"value":1,"value":360000000')),
        "a short salt": ("malformed", compact(body(salt=SALT[:-1]))),
    }


HEAD = "sistercity-head"
LOG = "0d9c1f6e-8c4b-4d53-9a57-2f3f6a1d7c11"


def head(**changed: Any) -> Json:
    return {
        "format": 1,
        "city": "isfahan",
        "log": LOG,
        "number": 12,
        "position": 9,
        "issued_at": "2026-12-01T11:00:00Z",
        "expires_at": "2026-12-08T11:00:00Z",
        "metrics": {METRIC: {"sequence": 2, "hash": digest(SECOND)}},
        "audit": None,
        **changed,
    }


def heads() -> list[Vector]:
    signed = PUBLISH.sign(head(), HEAD)
    given: Json = {"now": NOW, "identity": ISFAHANS}
    known: Json = {**given, "known": signed}
    told = {METRIC: {"sequence": 2, "hash": digest(b"another story")}}
    more = {**head()["metrics"], "waste.fill": {"sequence": 1, "hash": digest(b"first")}}
    shorter = {METRIC: {"sequence": 1, "hash": digest(FIRST)}}

    def by_publisher(**changed: Any) -> str:
        return PUBLISH.sign(head(**changed), HEAD)

    return [
        good("a head", signed, **given),
        good("of an empty log", by_publisher(number=1, position=0, metrics={}), **given),
        good("with the heads of the audit chains", by_publisher(audit=digest(b"")), **given),
        good("with fields of a later version", by_publisher(sister=1), **given),
        good("the one that is known", signed, **known),
        good("the next", by_publisher(number=13, position=10, metrics=more), **known),
        bad("forged", "another signature", spoilt(signed), **given),
        bad("forged", "another payload", with_payload(signed, head(number=13)), **given),
        bad("wrong-algorithm", "EdDSA", PUBLISH.sign(head(), HEAD, alg="EdDSA"), **given),
        bad("wrong-type", "signed as an identity document", PUBLISH.sign(head(), "sistercity-identity"), **given),
        bad("unknown-key", "signed by a key for access", ACCESS.sign(head(), HEAD), **given),
        bad("unknown-key", "signed by the identity key", IDENTITY.sign(head(), HEAD), **given),
        bad("unknown-key", "signed by a stranger", STRANGER.sign(head(), HEAD), **given),
        bad("unknown-key", "issued when its key's time is over", OLD_PUBLISH.sign(head(), HEAD), **given),
        bad(
            "unknown-key", "by a revoked key, whatever time it bears", signed, **{**given, "identity": WITH_REVOKED_KEY}
        ),
        bad("expired", "that has expired", signed, **{**given, "now": "2026-12-08T11:01:00Z"}),
        bad("not-yet-valid", "issued 61 s ahead", signed, **{**given, "now": "2026-12-01T10:58:59Z"}),
        bad("too-long", "good for more than 7 days", by_publisher(expires_at="2026-12-08T11:00:01Z"), **given),
        bad("other-city", "another city's", by_publisher(city="hue"), **given),
        bad("rolled-back", "a lower number", by_publisher(number=11), **known),
        bad("contradiction", "another of its number", by_publisher(audit=digest(b"")), **known),
        bad("contradiction", "another hash of a sequence", by_publisher(number=13, metrics=told), **known),
        bad("contradiction", "a shorter chain", by_publisher(number=13, metrics=shorter), **known),
        bad("contradiction", "a chain that is gone", by_publisher(number=13, metrics={}), **known),
        *(bad(why, name, by_publisher(**changed), **given) for name, (why, changed) in _bad_heads().items()),
    ]


def _bad_heads() -> dict[str, tuple[str, Json]]:
    return {
        "a later format": ("unknown-format", {"format": 2}),
        "number 0": ("malformed", {"number": 0}),
        "a log that is no UUID": ("malformed", {"log": "isfahan"}),
        "a metric without a hash": ("malformed", {"metrics": {METRIC: {"sequence": 2, "hash": None}}}),
        "a hash that is none": ("malformed", {"metrics": {METRIC: {"sequence": 2, "hash": "abc"}}}),
        "metrics as a list": ("malformed", {"metrics": [METRIC]}),
        "an audit that is no hash": ("malformed", {"audit": "all well"}),
    }
