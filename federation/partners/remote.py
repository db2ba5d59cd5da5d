"""A partner's API as its agreement lets us read it: addresses, token, ETags, limits."""

import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import httpx
from joserfc.jwk import OKPKey

from federation.access.assertion import assertion
from federation.partners.fetching import Answer, Fetcher, Hold, Request, error_word
from federation.partners.limits import PartnerError
from federation.partners.source import LogGone, NoHead, WirePage
from federation.strict_json import BadJson, loads
from store.agreements import InstalledAgreement

JSON: Final = "application/json"
LINES: Final = "application/jsonl"
JOSE: Final = "application/jose"

_GRANT: Final = "client_credentials"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NEXT = re.compile(r"[A-Za-z0-9_.~-]{1,200}")
_AUDIT = re.compile(r"([0-9]{1,18}) ([0-9a-f]{64})")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_EARLY_S = 60
"""So long before its end a token is replaced."""
_NOT_LET_IN = (
    "either it has not installed the agreement, or it does not know our access key yet; its next `pull` reads our"
    " identity document, or send it the file for `sistercity identity import`"
)
_NOT_IN_FORCE = "the agreement is not in force there: it was revoked, or this version is not installed yet"
_MOST_HEADS = 10


class RemoteCity:
    """Implements `Source` over HTTP. `audit` is the head of the partner's audit of us, as its answers show it."""

    resumes = True

    def __init__(
        self,
        agreement: InstalledAgreement,
        access_key: Callable[[], Awaitable[OKPKey]],
        fetcher: Fetcher,
        now_ms: Callable[[], int],
    ) -> None:
        if not agreement.addresses:
            words = f"no address of {agreement.city} is allowed: `sistercity agreement show {agreement.id}`"
            raise PartnerError("no-address", words)
        self.audit: tuple[int, str] | None = None
        self._agreement = agreement
        self._access_key = access_key
        self._fetcher = fetcher
        self._now_ms = now_ms
        self._bases = [
            httpx.URL(address if address.endswith("/") else address + "/") for address in agreement.addresses
        ]
        self._token: str | None = None
        self._token_ends = 0.0
        self._etags: dict[str, str] = {}
        self._left = fetcher.limits.turn_bytes
        self._hold = Hold()

    def begin(self) -> None:
        """Start a turn: its budget of bytes is whole again."""
        self._left = self._fetcher.limits.turn_bytes

    async def identity(self) -> str | None:
        """As `Source`. Asked of each address in turn until one answers; later requests go there."""
        for others in range(len(self._bases) - 1, -1, -1):
            try:
                return await self._text("v1/identity", public=True, patient=not others)
            except PartnerError as error:
                if error.reason != "unreachable" or not others:
                    raise
                self._bases.append(self._bases.pop(0))
        return None

    async def facts(self) -> bytes | None:
        """As `Source`."""
        answer = await self._get("v1/catalog", JSON, self._fetcher.limits.catalogue_bytes, public=True)
        return None if answer.status == HTTPStatus.NOT_MODIFIED else answer.body

    async def head(self) -> str | None:
        """As `Source`."""
        return await self._text("v1/head", missing=NoHead)

    async def entries(self, after: str | None) -> WirePage | None:
        """As `Source`."""
        query = {"limit": str(self._fetcher.limits.lines)} | ({} if after is None else {"after": after})
        gone = (HTTPStatus.NOT_MODIFIED, HTTPStatus.GONE)
        answer = await self._get("v1/entries", LINES, self._fetcher.limits.bytes, query=query, expected=gone)
        if answer.status == HTTPStatus.GONE:
            raise LogGone
        return self._page(answer)

    async def bodies(self, metric: str, after: int) -> WirePage | None:
        """As `Source`."""
        query = {"metric": metric, "after": str(after), "limit": str(self._fetcher.limits.lines)}
        return self._page(await self._get("v1/bodies", LINES, self._fetcher.limits.bytes, query=query))

    async def catalogue(self, hash_: str) -> bytes:
        """As `Source`."""
        path = f"v1/catalogues/{hash_}"
        answer = await self._get(path, JSON, self._fetcher.limits.catalogue_bytes, public=True, tagged=False)
        return answer.body

    async def body(self, hash_: str) -> bytes | None:
        """The body with this hash, as far as the city says so; None if it has none that it may give us."""
        gone = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
        answer = await self._get(f"v1/bodies/{hash_}", JSON, self._fetcher.limits.bytes, tagged=False, expected=gone)
        return answer.body if answer.status == HTTPStatus.OK else None

    async def heads(self, thumbprint: str) -> list[str]:
        """As `Source`."""
        gone = (HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND)
        answer = await self._get(f"v1/heads/{thumbprint}", LINES, self._fetcher.limits.small_bytes, expected=gone)
        try:
            return answer.body.decode("ascii").splitlines()[:_MOST_HEADS]
        except UnicodeDecodeError:
            raise PartnerError("malformed", "a page of heads is not in ASCII") from None

    def end(self) -> None:
        """End a turn: what came last has been dealt with."""
        self._hold.release()

    def forget(self) -> None:
        """As `Source`: no 304 is an answer then."""
        self._etags.clear()

    async def _text(
        self, path: str, *, public: bool = False, patient: bool = True, missing: type[Exception] | None = None
    ) -> str | None:
        """The text at a path; `missing` is what a 404 raises, if that is an answer."""
        expected = (HTTPStatus.NOT_MODIFIED, *(() if missing is None else (HTTPStatus.NOT_FOUND,)))
        most = self._fetcher.limits.small_bytes
        answer = await self._get(path, JOSE, most, public=public, patient=patient, expected=expected)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        if answer.status == HTTPStatus.NOT_FOUND and missing is not None:
            raise missing
        try:
            return answer.body.decode("ascii").strip()
        except UnicodeDecodeError:
            raise PartnerError("malformed", f"the answer to {path} is not in ASCII") from None

    async def _get(
        self,
        path: str,
        accept: str,
        most: int,
        *,
        query: dict[str, str] | None = None,
        public: bool = False,
        tagged: bool = True,
        patient: bool = True,
        expected: tuple[int, ...] = (HTTPStatus.NOT_MODIFIED,),
    ) -> Answer:
        url = self._bases[0].join(path).copy_merge_params(query or {})
        etag = self._etags.get(str(url)) if tagged else None
        for last in (False, True):
            token = None if public else await self._valid_token()
            wanted = (*expected, HTTPStatus.UNAUTHORIZED) if not public and not last else expected
            request = Request(url, accept, most, etag, token, expected=wanted, patient=patient)
            answer = await self._fetcher.fetch(request, self._hold)
            if answer.status != HTTPStatus.UNAUTHORIZED:
                break
            self._token = None  # it has ended early: revoked, or the partner's database was restored
        if answer.status == HTTPStatus.NOT_MODIFIED and etag is None:
            raise PartnerError("not-modified", f"{url} answers 304 to a request without an ETag")
        self._spend(len(answer.body))
        self._remember(path, str(url), answer, tagged)
        return answer

    def _remember(self, path: str, url: str, answer: Answer, tagged: bool) -> None:
        if found := _AUDIT.fullmatch(answer.headers.get("sistercity-audit", "")):
            self.audit = (int(found[1]), found[2])
        if answer.status == HTTPStatus.OK and tagged:
            kept = url.partition("after=")[0]  # of each sequence of pages, the last one's is enough
            self._etags = {known: etag for known, etag in self._etags.items() if known.partition("after=")[0] != kept}
            if answer.etag is not None:
                self._etags[url] = answer.etag

    def _page(self, answer: Answer) -> WirePage | None:
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        following = answer.headers.get("sistercity-next", "")
        if not _NEXT.fullmatch(following):
            raise PartnerError("malformed", "a page has no Sistercity-Next")
        return WirePage(answer.body, following)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            words = f"{self._agreement.city} sends more than {self._fetcher.limits.turn_bytes} bytes in one pull"
            raise PartnerError("too-large", words)

    async def _valid_token(self) -> str:
        if self._token is None or time.monotonic() >= self._token_ends:
            self._token, seconds = await self._new_token()
            self._token_ends = time.monotonic() + max(0, seconds - _EARLY_S)
        return self._token

    async def _new_token(self) -> tuple[str, int]:
        agreement, key = self._agreement, await self._access_key()
        form = {
            "grant_type": _GRANT,
            "client_assertion_type": _ASSERTION,
            "client_assertion": assertion(key, agreement.own, agreement.partner, self._now_ms()),
            "scope": agreement.id,
        }
        url = self._bases[0].join("v1/token")
        refusal = (HTTPStatus.UNAUTHORIZED, HTTPStatus.BAD_REQUEST)
        answer = await self._fetcher.fetch(Request(url, JSON, 64 * 1024, form=form, expected=refusal), self._hold)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise PartnerError("refused", f"{agreement.city} gives no token (401 at {url}): {_NOT_LET_IN}")
        if answer.status == HTTPStatus.BAD_REQUEST:
            word = error_word(answer.body)
            why = f": {_NOT_IN_FORCE}" if "invalid_scope" in word else ""
            raise PartnerError("refused", f"{agreement.city} gives no token (400 at {url}{word}){why}")
        try:
            found = loads(answer.body)
            token, seconds = found["access_token"], found["expires_in"]
            if not _TOKEN.fullmatch(token) or type(seconds) is not int or found["token_type"].lower() != "bearer":
                raise ValueError
        except (BadJson, ValueError, KeyError, TypeError, AttributeError):
            raise PartnerError("malformed", f"{url} answers with no token") from None
        return token, seconds
