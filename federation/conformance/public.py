"""What everyone may ask of a node: health, identity and catalogues; and that nobody else is answered."""

from http import HTTPStatus

from federation.conformance.visit import Visit, expect, json_of, problem
from federation.publications.entries import digest
from federation.strict_json import loads
from federation.wire import Catalog

_UNKNOWN = "0" * 64
_GUARDED = ("head", "entries", "bodies?metric=energy.import", f"bodies/{_UNKNOWN}", "series/energy.import", "audit")


async def health(visit: Visit) -> None:
    """/healthz answers with 200."""
    answer = await visit.get("healthz")
    expect(answer.status_code == HTTPStatus.OK, f"it answers with {answer.status_code}")


async def identity_document(visit: Visit) -> None:
    """The identity document is signed by the identity that was agreed on, and valid now."""
    answer = await visit.get("v1/identity")
    expect(answer.status_code == HTTPStatus.OK, f"it answers with {answer.status_code}")
    expect(answer.headers.get("content-type") == "application/jose", "it is not application/jose")
    await visit.identity()


async def identity_conditional(visit: Visit) -> None:
    """/v1/identity has an ETag, and answers with 304 to it."""
    await not_modified(visit, "v1/identity", guarded=False)


async def catalogue_list(visit: Visit) -> None:
    """/v1/catalog names the city, and each metric's catalogue by a hash that leads to it once it is used."""
    answer = await visit.get("v1/catalog")
    expect(answer.status_code == HTTPStatus.OK, f"it answers with {answer.status_code}")
    found = json_of(answer)
    listed = Catalog.model_validate_json(answer.content)
    expect(listed.city.id == (await visit.identity()).city, f"it is the catalogue of {listed.city.id!r}")
    for metric in found["metrics"] if isinstance(found["metrics"], list) else []:
        name = metric["name"]
        by_hash = await visit.get(f"v1/catalogues/{metric.get('hash')}")
        if by_hash.status_code == HTTPStatus.NOT_FOUND:
            problem(by_hash, HTTPStatus.NOT_FOUND)  # nothing of the metric was published as it is defined now
            continue
        expect(by_hash.status_code == HTTPStatus.OK, f"the hash of {name} leads to {by_hash.status_code}")
        expect(digest(by_hash.content) == metric["hash"], f"the catalogue of {name} is not what its hash is of")
        content = loads(by_hash.content)
        expect(content.get("format") == 1, f"the catalogue of {name} has no format 1")
        differing = [key for key, value in content.items() if key != "format" and metric.get(key) != value]
        expect(not differing, f"list and catalogue of {name} differ in {', '.join(differing)}")


async def unknown_catalogue(visit: Visit) -> None:
    """A hash that is none answers with a problem of status 404."""
    problem(await visit.get(f"v1/catalogues/{_UNKNOWN}"), HTTPStatus.NOT_FOUND)


async def without_token(visit: Visit) -> None:
    """Without a token, everything else answers with 401 and a problem."""
    for path in _GUARDED:
        await _unauthorised(visit, path, None)


async def wrong_token(visit: Visit) -> None:
    """A token that was never given answers with 401, invalid_token."""
    for path in _GUARDED:
        await _unauthorised(visit, path, "x" * 43)


async def unknown_path(visit: Visit) -> None:
    """A path that is none answers with a problem, and so does a method that is none."""
    problem(await visit.get("v1/nothing"), HTTPStatus.NOT_FOUND)
    problem(await visit.request("POST", "v1/identity"), HTTPStatus.METHOD_NOT_ALLOWED)


async def not_modified(visit: Visit, path: str, *, guarded: bool = True) -> None:
    """Raise `NotAsPromised` unless the answer has an ETag, and 304 without content follows it."""
    ask = visit.read if guarded else visit.get
    answer = await ask(path)
    expect(answer.status_code == HTTPStatus.OK, f"/{path} answers with {answer.status_code}")
    expect("etag" in answer.headers, f"/{path} has no ETag")
    again = await ask(path, If_None_Match=answer.headers["etag"])
    if again.status_code == HTTPStatus.OK and again.headers.get("etag") != answer.headers["etag"]:
        again = await ask(path, If_None_Match=again.headers["etag"])  # it changed in between
    expect(again.status_code == HTTPStatus.NOT_MODIFIED, f"/{path} answers its ETag with {again.status_code}")
    expect(not again.content, f"/{path} has content in its 304")


async def _unauthorised(visit: Visit, path: str, token: str | None) -> None:
    answer = await visit.get(f"v1/{path}", token=token)
    problem(answer, HTTPStatus.UNAUTHORIZED)
    challenge = answer.headers.get("www-authenticate", "")
    expect(challenge.startswith("Bearer"), f"/v1/{path} answers 401 without WWW-Authenticate: Bearer")
    expect(token is None or "invalid_token" in challenge, f"/v1/{path} does not say invalid_token")


CHECKS = (
    health,
    identity_document,
    identity_conditional,
    catalogue_list,
    unknown_catalogue,
    without_token,
    wrong_token,
    unknown_path,
)
