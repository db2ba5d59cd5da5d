"""A node of a small city that answers as docs/wire.md says, or lies to its partners in one way."""

import hmac
import json
import time
from collections.abc import Callable
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.access.assertion import BadAssertion, check_assertion
from federation.conformance.lies import Lie
from federation.conformance.offering import REQUESTS_PER_MINUTE
from federation.conformance.story import METRIC, ZONE, Json, SmallCity, Story
from federation.identity.document import Identity
from federation.publications.entries import digest
from federation.strict_json import dumps
from federation.wire import rfc3339

_TOKEN_S = 900
_MINUTE_MS = 60_000
_FORM = ("grant_type", "client_assertion_type", "client_assertion", "scope")
_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TellingNode:
    """A node that tells the stories of a city to one partner, under every agreement of `agreements`.

    Each agreement has `REQUESTS_PER_MINUTE`. `visit` is how much of its story it tells, and from 2 on it tells the lies
    that come later. It rises by itself every `period_ms` after the head was first asked for, if that is given. `now_ms`
    is asked for the time.
    """

    def __init__(
        self,
        city: SmallCity,
        partner: Identity,
        agreements: set[str],
        lie: Lie | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        period_ms: int | None = None,
    ) -> None:
        self.city = city
        self.partner = partner
        self.agreements = agreements
        self.lie = lie
        self.visit = 1
        self._now_ms = now_ms
        self._period_ms = period_ms
        self._begun_ms: int | None = None
        self._told: tuple[int, Story] | None = None
        self._tokens: dict[str, str] = {}
        self._used: set[str] = set()
        self._audit: dict[str, list[bytes]] = {}
        self._minutes: dict[str, tuple[int, int]] = {}

    def app(self) -> Starlette:
        """The node as an ASGI app."""
        partners = {
            "/v1/head": self._head,
            "/v1/entries": self._entries,
            "/v1/bodies": self._bodies,
            "/v1/bodies/{hash}": self._body,
            "/v1/series/{metric}": self._series,
            "/v1/heads/{thumbprint}": self._heads,
            "/v1/audit": self._audit_lines,
        }
        public = {
            "/healthz": lambda request: _json({"status": "ok"}),
            "/v1/identity": self._identity,
            "/v1/catalog": self._catalog,
            "/v1/catalogues/{hash}": self._catalogue,
        }
        routes = [Route(path, self._open(answer)) for path, answer in public.items()]
        routes += [Route(path, self._guarded(answer)) for path, answer in partners.items()]
        missing = {404: _not_found, 405: _not_found}
        return Starlette(
            routes=[*routes, Route("/v1/token", self._token, methods=["POST"])], exception_handlers=missing
        )

    def story(self) -> Story:
        """What is told now."""
        lie, now = self.lie, self._now_ms()
        if self._period_ms is not None and self._begun_ms is not None:
            self.visit = 1 + (now - self._begun_ms) // self._period_ms
        visit = self.visit
        if self._told is not None and self._told[0] == visit:
            return self._told[1]
        lies = lie is not None and (visit > 1 or not lie.later)
        told = lie.story(self.city.told(visit)) if lie and lies and lie.story else None
        story = self.city.story(visit, self.city.began_ms + visit, told)  # one head for each visit
        if lie and lies and lie.change:
            lie.change(self.city, story, now)
        self._told = visit, story
        return story

    def _open(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return _conditional(request, answer(request))

        return endpoint

    def _guarded(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            agreement = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
            if agreement is None:
                refused = _problem(401, "get a token")
                refused.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
                return refused
            request.state.agreement = agreement
            response = self._limited(agreement)
            if response is None:
                response = _conditional(request, answer(request))
                self._note(agreement, request, response)
            if self.lie and self.lie.answer and (self.visit > 1 or not self.lie.later):
                return self.lie.answer(request, response)
            return response

        return endpoint

    def _limited(self, agreement: str) -> Response | None:
        """429 if the requests of this minute, which begins with the first of them, are used up."""
        now = self._now_ms()
        ends, count = self._minutes.get(agreement, (now, 0))
        if ends <= now:
            ends, count = now + _MINUTE_MS, 0
        if count >= REQUESTS_PER_MINUTE:
            refused = _problem(429, "too many requests")
            refused.headers["Retry-After"] = str(-(-(ends - now) // 1000))
            return refused
        self._minutes[agreement] = ends, count + 1
        return None

    def _identity(self, request: Request) -> Response:
        return Response(self.story().identity, media_type="application/jose")

    def _catalog(self, request: Request) -> Response:
        catalogue = self.story().catalogue
        listed = {name: value for name, value in catalogue.items() if name != "format"}
        city = {
            "id": self.city.city,
            "name": self.city.city.title(),
            "names": {"en": self.city.city.title()},
            "country": "VN",
            "zone": ZONE,
            "population": 145_000,
            "districts": 2,
            "sources": [],
        }
        metric = listed | {"hash": digest(dumps(self.city.catalogue())), "detectors": []}
        return _json({"city": city, "log": self.story().head["log"], "metrics": [metric]})

    def _catalogue(self, request: Request) -> Response:
        if request.path_params["hash"] != digest(dumps(self.city.catalogue())):
            return _problem(404, "no such catalogue")
        return Response(dumps(self.story().catalogue), media_type="application/json")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
        if form.get("grant_type", "client_credentials") != "client_credentials":
            return _refused(400, "unsupported_grant_type")
        if any(name not in form for name in _FORM) or form["client_assertion_type"] != _BEARER:
            return _refused(400, "invalid_request")
        now = self._now_ms()
        try:
            asked = check_assertion(
                form["client_assertion"],
                audience=self.city.keys.thumbprint,
                key_of=lambda city, kid: (
                    self.partner.key_for("access", kid, now) if city == self.partner.thumbprint else None
                ),
                now_ms=now,
            )
        except BadAssertion:
            return _refused(401, "invalid_client")
        if asked.jti in self._used:
            return _refused(401, "invalid_client")
        self._used.add(asked.jti)
        if form["scope"] not in self.agreements:
            return _refused(400, "invalid_scope")
        token = token_urlsafe(32)
        self._tokens[token] = form["scope"]
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_S, "scope": form["scope"]}
        return Response(dumps(granted), media_type="application/json", headers={"Cache-Control": "no-store"})

    def _head(self, request: Request) -> Response:
        self._begun_ms = self._begun_ms or self._now_ms()
        return Response(self.story().signed_head(), media_type="application/jose")

    def _entries(self, request: Request) -> Response:
        after, limit = request.query_params.get("after", "c0"), _limit(request)
        if limit is None or not after.startswith("c") or not after[1:].isdigit():
            return _problem(400, "no cursor, or no limit")
        place = int(after[1:])
        lines = self.story().entries[place : place + limit]
        return _lines(lines, f"c{place + len(lines)}")

    def _bodies(self, request: Request) -> Response:
        after, limit = request.query_params.get("after", "0"), _limit(request)
        if limit is None or not after.isdigit():
            return _problem(400, "no sequence, or no limit")
        if request.query_params.get("metric") != METRIC:
            return _problem(404, "no such metric")
        bodies = [(sequence, body) for _, sequence, body in self.story().bodies.values() if body is not None]
        due = [(sequence, body) for sequence, body in bodies if sequence > int(after)][:limit]
        last = due[-1][0] if due else max(int(after), *(sequence for sequence, _ in bodies))
        return _lines([body for _, body in due], str(last))

    def _body(self, request: Request) -> Response:
        known = self.story().bodies.get(request.path_params["hash"])
        if known is None or known[2] is None:
            return _problem(404, "no such body") if known is None else _problem(410, "it was withdrawn")
        return Response(known[2], media_type="application/json")

    def _series(self, request: Request) -> Response:
        if request.path_params["metric"] != METRIC:
            return _problem(404, "no such metric")
        newest: dict[str, Json] = {}
        for _, _, body in self.story().bodies.values():
            if body is not None:
                found = json.loads(body)
                newest[found["window"]["start"]] = found
        left_out = ("format", "metric", "unit", "salt")
        windows = [{key: value for key, value in newest[at].items() if key not in left_out} for at in sorted(newest)]
        unit = self.city.metric.smallest_unit
        return _json({"city": self.city.city, "metric": METRIC, "unit": unit, "windows": windows, "next": None})

    def _heads(self, request: Request) -> Response:
        return _lines([], None)

    def _audit_lines(self, request: Request) -> Response:
        after, limit = request.query_params.get("after", "0"), _limit(request)
        if limit is None or not after.isdigit():
            return _problem(400, "no sequence, or no limit")
        lines = self._audit.get(request.state.agreement, [])[int(after) :][:limit]
        return _lines(lines, str(int(after) + len(lines)))

    def _note(self, agreement: str, request: Request, response: Response) -> None:
        """Write the audit line of an answer, and put the head of the chain into it."""
        lines = self._audit.setdefault(agreement, [])
        content = bytes(response.body)
        line = {
            "format": 1,
            "agreement": agreement,
            "sequence": len(lines) + 1,
            "at": rfc3339(self._now_ms()),
            "before": digest(lines[-1]) if lines else None,
            "request": token_urlsafe(9),
            "path": request.url.path,
            "metric": None,
            "first": None,
            "last": None,
            "status": response.status_code,
            "page": digest(content),
            "bytes": len(content),
        }
        lines.append(dumps(line))
        response.headers["Sistercity-Audit"] = f"{len(lines)} {digest(lines[-1])}"


def _limit(request: Request) -> int | None:
    text = request.query_params.get("limit", "100")
    return int(text) if text.isdigit() and 1 <= int(text) <= 1000 else None


def _json(content: object) -> Response:
    return Response(dumps(content), media_type="application/json")


def _lines(lines: list[bytes], following: str | None) -> Response:
    headers = {} if following is None else {"Sistercity-Next": following}
    return Response(b"".join(line + b"\n" for line in lines), media_type="application/jsonl", headers=headers)


def _problem(status: int, words: str) -> Response:
    content = {"type": "about:blank", "title": words, "status": status}
    return Response(dumps(content), status, media_type="application/problem+json")


def _refused(status: int, error: str) -> Response:
    return Response(dumps({"error": error}), status, {"Cache-Control": "no-store"}, "application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    return _problem(getattr(error, "status_code", 404), "no such thing")


def _conditional(request: Request, response: Response) -> Response:
    if response.status_code != 200:
        return response
    following = response.headers.get("sistercity-next", "")
    tag = f'"{digest(bytes(response.body) + following.encode())[:32]}"'
    kept = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if following:
        kept["Sistercity-Next"] = following
    if hmac.compare_digest(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=kept)
    response.headers.update(kept)
    return response
