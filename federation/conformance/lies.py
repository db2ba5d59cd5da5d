"""The ways in which a node may lie, each of which a client must notice.

A lie changes what an honest node would answer at one place: its story, or the bytes on the way. Those that are `later`
are honest at the first visit.
"""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import cache

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from federation import jose
from federation.conformance.story import METRIC, SmallCity, Story, Told
from federation.identity.document import RevokedKey, sign_revocation
from federation.publications.chain import ChainEnd
from federation.publications.entries import digest
from federation.strict_json import dumps
from federation.wire import rfc3339
from store.publications import Window

_DAY_MS = 86_400_000

Change = Callable[[SmallCity, Story, int], None]
"""Changes a story that is told at this time (ms)."""

Retell = Callable[[list[Told]], list[Told]]
Answering = Callable[[Request, Response], Response]


@dataclass(frozen=True, slots=True)
class Lie:
    """A lie by its name. `tells` is what the client must notice, in words; `later`: only from the second visit on,
    when the client knows something to compare it with.

    `story` changes what was published before it is chained and signed, `change` the story itself, `answer` the answer
    to a request for a partner's data.
    """

    name: str
    tells: str
    change: Change | None = None
    story: Retell | None = None
    answer: Answering | None = None
    later: bool = False


def _forged_identity(city: SmallCity, story: Story, now_ms: int) -> None:
    story.identity = _spoilt(story.identity)


def _other_identity(city: SmallCity, story: Story, now_ms: int) -> None:
    story.identity = SmallCity(city.city, city.address, city.began_ms).identity()


def _expired_identity(city: SmallCity, story: Story, now_ms: int) -> None:
    story.identity = city.identity(2, now_ms=now_ms - 40 * _DAY_MS)


def _second_identity(city: SmallCity, story: Story, now_ms: int) -> None:
    story.identity = city.identity(contact="somebody else")


def _revoked_identity(city: SmallCity, story: Story, now_ms: int) -> None:
    story.identity = sign_revocation(city.keys.identity, city=city.city, revoked_at=now_ms, reason="the key was copied")


def _revoked_key(city: SmallCity, story: Story, now_ms: int) -> None:
    kid = jose.thumbprint(city.keys.publish)
    story.identity = city.identity(2, revoked=[RevokedKey(kid, now_ms - 1000, "the disk was stolen")])


def _forged_head(city: SmallCity, story: Story, now_ms: int) -> None:
    sign = story.sign
    story.sign = lambda payload: _spoilt(sign(payload))


def _signed_for_access(city: SmallCity, story: Story, now_ms: int) -> None:
    story.sign = lambda payload: jose.sign(payload, city.keys.access, "sistercity-head")


def _signed_as_another(city: SmallCity, story: Story, now_ms: int) -> None:
    story.sign = lambda payload: jose.sign(payload, city.keys.publish, "sistercity-identity")


def _of_a_stranger(city: SmallCity, story: Story, now_ms: int) -> None:
    story.sign = lambda payload: jose.sign(payload, jose.new_key(), "sistercity-head")


def _in_the_head(**changed: object) -> Change:
    def change(city: SmallCity, story: Story, now_ms: int) -> None:
        story.head |= changed

    return change


def _expired_head(city: SmallCity, story: Story, now_ms: int) -> None:
    story.head |= {"issued_at": rfc3339(now_ms - 7 * _DAY_MS), "expires_at": rfc3339(now_ms - 120_000)}


def _early_head(city: SmallCity, story: Story, now_ms: int) -> None:
    story.head |= {"issued_at": rfc3339(now_ms + 3_600_000), "expires_at": rfc3339(now_ms + _DAY_MS)}


def _old_head(city: SmallCity, story: Story, now_ms: int) -> None:
    story.head["number"] = 0 if story.head["number"] == 1 else 1
    story.head |= {"issued_at": rfc3339(now_ms - _DAY_MS), "expires_at": rfc3339(now_ms + _DAY_MS)}


def _two_stories(city: SmallCity, story: Story, now_ms: int) -> None:
    told = [_with_value(piece, 360_000_000 * 77) for piece in city.told(1)]
    other = city.story(1, now_ms, told)
    story.entries, story.bodies, story.head = other.entries, other.bodies, other.head | {"number": 2}


def _shorter_chain(city: SmallCity, story: Story, now_ms: int) -> None:
    shorter = city.story(2, now_ms, city.told(1)[:2])
    story.entries, story.bodies, story.head = shorter.entries, shorter.bodies, shorter.head


def _lost_chain(city: SmallCity, story: Story, now_ms: int) -> None:
    story.entries, story.bodies, story.head["metrics"] = [], {}, {}


def _gap(city: SmallCity, story: Story, now_ms: int) -> None:
    del story.entries[1]


def _truncated(city: SmallCity, story: Story, now_ms: int) -> None:
    story.entries.pop()


def _rewritten(city: SmallCity, story: Story, now_ms: int) -> None:
    story.entries[0] = story.entries[0].replace(b'"position":1', b'"position": 1')


def _uncovered(city: SmallCity, story: Story, now_ms: int) -> None:
    end = ChainEnd(len(story.entries) - 1, digest(story.entries[-2]))
    story.head["metrics"] = {METRIC: {"sequence": end.sequence, "hash": end.hash}}


def _in_every_entry(old: bytes, new: bytes) -> Change:
    """Entries that are wrong, in a chain and a head that vouch for them."""

    def change(city: SmallCity, story: Story, now_ms: int) -> None:
        before = None
        for number, line in enumerate(story.entries):
            fields = json.loads(line.replace(old, new)) | {"before": before}
            story.entries[number] = dumps(fields)
            before = digest(story.entries[number])
        story.head["metrics"] = {METRIC: {"sequence": len(story.entries), "hash": before}}

    return change


def _swapped_bodies(city: SmallCity, story: Story, now_ms: int) -> None:
    kept = [hash_ for hash_, (_, _, body) in story.bodies.items() if body is not None]
    first, second = story.bodies[kept[0]], story.bodies[kept[1]]
    story.bodies[kept[0]], story.bodies[kept[1]] = (*first[:2], second[2]), (*second[:2], first[2])


def _in_every_body(old: bytes, new: bytes) -> Change:
    """Bodies other than those that the entries name."""

    def change(city: SmallCity, story: Story, now_ms: int) -> None:
        for hash_, (metric, sequence, body) in story.bodies.items():
            story.bodies[hash_] = (metric, sequence, None if body is None else body.replace(old, new))

    return change


def _vouched(old: bytes, new: bytes) -> Change:
    """Bodies that are wrong, in entries, a chain and a head that vouch for them."""

    def change(city: SmallCity, story: Story, now_ms: int) -> None:
        bodies = {}
        for number, (hash_, (metric, sequence, body)) in enumerate(list(story.bodies.items())):
            wrong = None if body is None else body.replace(old, new)
            named = hash_ if wrong is None else digest(wrong)
            bodies[named] = (metric, sequence, wrong)
            story.entries[number] = story.entries[number].replace(hash_.encode(), named.encode())
        story.bodies = bodies
        _in_every_entry(b"", b"")(city, story, now_ms)

    return change


def _other_catalogue(city: SmallCity, story: Story, now_ms: int) -> None:
    story.catalogue = story.catalogue | {"title": "Something else"}


def _moved(by_ms: int) -> Retell:
    def retell(told: list[Told]) -> list[Told]:
        moved = []
        for piece in told:
            window = Window(piece.header.window.start + by_ms, piece.header.window.end + by_ms)
            moved.append(replace(piece, header=replace(piece.header, window=window)))
        return moved

    return retell


def _given_again(city: SmallCity, story: Story, now_ms: int) -> None:
    """The withdrawn body comes back, as it was."""
    whole = city.story(1, now_ms, city.told(1)[:2])
    story.bodies |= {hash_: kept for hash_, kept in whole.bodies.items() if story.bodies[hash_][2] is None}


def _standing_still(request: Request, response: Response) -> Response:
    if "sistercity-next" in response.headers and response.body:
        response.headers["Sistercity-Next"] = request.query_params.get("after", "AAAA")
    return response


def _endless(request: Request, response: Response) -> Response:
    if not request.url.path.endswith("/v1/entries") or not response.body:
        return response

    async def lines() -> AsyncIterator[bytes]:
        while True:
            yield bytes(response.body) * 100
            await anyio.sleep(0)  # else nobody would notice that the client has gone

    return StreamingResponse(lines(), headers=_without_length(response))


def _dripping(request: Request, response: Response) -> Response:
    async def drops() -> AsyncIterator[bytes]:
        for byte in bytes(response.body):
            yield bytes([byte])
            await anyio.sleep(1)

    return StreamingResponse(drops(), headers=_without_length(response))


def _bomb(request: Request, response: Response) -> Response:
    return Response(_compressed(), headers=_without_length(response) | {"content-encoding": "gzip"})


@cache
def _compressed() -> bytes:
    return gzip.compress(b" " * 50_000_000, 1)


def _redirecting(request: Request, response: Response) -> Response:
    return Response(status_code=307, headers={"Location": "https://elsewhere.example/v1/head"})


def _as_text(request: Request, response: Response) -> Response:
    response.headers["Content-Type"] = "text/html"
    return response


def _too_many(request: Request, response: Response) -> Response:
    if request.url.path.endswith(("/v1/entries", "/v1/bodies")) and response.body:
        return Response(bytes(response.body) * 1001, headers=_without_length(response))
    return response


def _always_changed(request: Request, response: Response) -> Response:
    return Response(status_code=304, headers={"ETag": '"x"'})


def _limited(**headers: str) -> Answering:
    content = dumps({"type": "about:blank", "title": "too many requests", "status": 429})
    return lambda request, response: Response(content, 429, headers, "application/problem+json")


def _without_length(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "content-length"}


def _with_value(piece: Told, value: int) -> Told:
    cells = tuple(cell if cell.value is None else replace(cell, value=value) for cell in piece.cells)
    return replace(piece, cells=cells)


def _spoilt(jws: str) -> str:
    head, _, signature = jws.rpartition(".")
    return f"{head}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"


_DEEP = b'"salt":' + b"[" * 40 + b"]" * 40 + b',"salt":'

LIES: dict[str, Lie] = {
    lie.name: lie
    for lie in (
        Lie("forged-identity", "the identity document's signature is wrong", _forged_identity),
        Lie("other-identity", "another identity answers under the city's name", _other_identity),
        Lie("expired-identity", "the identity document has expired", _expired_identity),
        Lie("second-identity", "another identity document of the same version", _second_identity, later=True),
        Lie("revoked-identity", "the identity is revoked: nothing more may be accepted", _revoked_identity, later=True),
        Lie("revoked-key", "the head is signed by a key that is revoked", _revoked_key, later=True),
        Lie("forged-head", "the head's signature is wrong", _forged_head),
        Lie("head-for-access", "the head is signed by a key of another use", _signed_for_access),
        Lie("head-of-a-stranger", "the head is signed by a key that is not listed", _of_a_stranger),
        Lie("head-of-another-type", "the head is signed as an identity document", _signed_as_another),
        Lie("other-city", "the head is another city's", _in_the_head(city="elsewhere")),
        Lie("unknown-format", "the head is of a later format", _in_the_head(format=2)),
        Lie("expired-head", "the head has expired", _expired_head),
        Lie("early-head", "the head is from the future", _early_head),
        Lie("old-head", "the head has a lower number than before", _old_head, later=True),
        Lie("two-stories", "another history than before, signed as well", _two_stories, later=True),
        Lie("shorter-chain", "the head names an earlier end than before", _shorter_chain, later=True),
        Lie("lost-chain", "the head no longer names the metric", _lost_chain, later=True),
        Lie("gap", "an entry is missing", _gap),
        Lie("truncated-chain", "the chain ends before the head's", _truncated),
        Lie("rewritten-entry", "an entry's bytes are not those of the chain", _rewritten),
        Lie("uncovered-entry", "an entry that the head does not cover", _uncovered),
        Lie("entry-of-another-city", "entries of another city", _in_every_entry(b'"city":"', b'"city":"x')),
        Lie("entry-of-another-metric", "entries of a metric that was not agreed", _in_every_entry(b"energy", b"water")),
        Lie("entry-of-unknown-format", "entries of a later format", _in_every_entry(b'"format":1', b'"format":2')),
        Lie("swapped-bodies", "each body in another's place", _swapped_bodies),
        Lie("changed-body", "another value than the hash is of", _in_every_body(b'"value":36', b'"value":72')),
        Lie("deep-body", "a body of 40 levels", _vouched(b'"salt":', _DEEP)),
        Lie("told-too-much", "a cell with a field of its own", _vouched(b'"rule":', b'"contributors":3,"rule":')),
        Lie("value-beyond", "a value beyond 64 bits", _vouched(b'"value":3', b'"value":9223372036854775807')),
        Lie("unknown-area", "a cell of an area that the catalogue does not have", _vouched(b'"area":2', b'"area":9')),
        Lie("other-unit", "another unit than the catalogue's", _vouched(b'"unit":"mJ"', b'"unit":"kWh"')),
        Lie("body-of-another-entry", "a body that contradicts its entry", _vouched(b'"revision":0', b'"revision":5')),
        Lie("other-catalogue", "another catalogue than the hash is of", _other_catalogue),
        Lie("window-in-the-future", "windows that have not been yet", story=_moved(400 * _DAY_MS)),
        Lie("window-off-the-grid", "windows of half past to half past", story=_moved(1_800_000)),
        Lie("withdrawn-body", "the values that were withdrawn are given again", _given_again, later=True),
        Lie("standing-still", "the cursor never moves", answer=_standing_still),
        Lie("endless-page", "a page without end", answer=_endless),
        Lie("too-many-lines", "more lines than were asked for", answer=_too_many),
        Lie("dripping", "a byte a second", answer=_dripping),
        Lie("bomb", "a compressed answer that was not asked for", answer=_bomb),
        Lie("redirect", "a redirection to somebody else", answer=_redirecting),
        Lie("html", "an answer of another media type", answer=_as_text),
        Lie("limit-without-time", "a limit is reached, without Retry-After", answer=_limited()),
        Lie("limit-without-end", "a limit that is reached for ever", answer=_limited(**{"Retry-After": "1"})),
        Lie("never-modified", "304 to a request without an ETag", answer=_always_changed),
    )
}
"""Every lie, by its name."""
