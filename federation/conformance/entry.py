"""The way in: what is accepted as an assertion, and that nothing else is."""

from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any

import httpx

from federation import jose
from federation.access.assertion import assertion
from federation.conformance.visit import Visit, expect, json_of
from federation.strict_json import dumps

_TYPE: jose.Type = "client-authentication+jwt"


async def token(visit: Visit) -> None:
    """An assertion gets a Bearer token of 900 s, for the agreement that was asked for."""
    answer = await visit.ask_token()
    expect(answer.status_code == HTTPStatus.OK, f"it answers with {answer.status_code}: {answer.text[:200]}")
    found = json_of(answer)
    expect(str(found.get("token_type", "")).lower() == "bearer", "token_type is not Bearer")
    expect(found.get("expires_in") == 900, f"expires_in is {found.get('expires_in')}, not 900")
    expect(found.get("scope") == visit.partner.agreement.id, "scope is not the agreement's id")
    expect("no-store" in answer.headers.get("cache-control", ""), "the answer may be stored (RFC 6749, 5.1)")


async def used_twice(visit: Visit) -> None:
    """An assertion is accepted once."""
    partner = visit.partner
    signed = assertion(partner.access_key, partner.thumbprint, _audience(visit), visit.now_ms)
    first = await visit.ask_token(client_assertion=signed)
    expect(first.status_code == HTTPStatus.OK, f"the first time it answers with {first.status_code}")
    await _refused(await visit.ask_token(client_assertion=signed), 401, "invalid_client")


async def other_audience(visit: Visit) -> None:
    """An assertion for somebody else is refused."""
    await _claiming(visit, aud=visit.partner.thumbprint)
    await _claiming(visit, aud=[_audience(visit)])


async def other_times(visit: Visit) -> None:
    """An assertion that has expired, is from the future or good for more than 60 s is refused."""
    now = visit.now_ms // 1000
    await _claiming(visit, iat=now - 600, exp=now - 540)
    await _claiming(visit, iat=now + 600, exp=now + 660)
    await _claiming(visit, iat=now, exp=now + 3600)


async def other_issuer(visit: Visit) -> None:
    """An assertion of another issuer or subject than the signer's is refused."""
    await _claiming(visit, iss=_audience(visit), sub=_audience(visit))
    await _claiming(visit, sub=_audience(visit))


async def other_keys(visit: Visit) -> None:
    """An assertion by an unknown key, of another algorithm or type, or with a broken signature is refused."""
    claims = dumps(_claims(visit))
    stranger = jose.sign(claims, jose.new_key(), _TYPE)
    own = jose.sign(claims, visit.partner.access_key, _TYPE)
    header, payload, signature = own.split(".")
    unsigned = jose.sign(claims, visit.partner.access_key, "sistercity-head")
    spoilt = f"{header}.{payload}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}"
    for text in (stranger, unsigned, spoilt, f"{header}.{payload}.", "no.assertion.", "x"):
        await _refused(await visit.ask_token(client_assertion=text), 401, "invalid_client")


async def other_scopes(visit: Visit) -> None:
    """An agreement that is unknown is refused as invalid_scope."""
    await _refused(await visit.ask_token(scope=token_urlsafe(16)), 400, "invalid_scope")


async def other_requests(visit: Visit) -> None:
    """A request of another grant type or without an assertion is refused as RFC 6749 says."""
    await _refused(await visit.ask_token(grant_type="password"), 400, "unsupported_grant_type")
    await _refused(await visit.ask_token(client_assertion=""), 400, "invalid_request")


def _audience(visit: Visit) -> str:
    return visit.partner.agreement.other(visit.partner.thumbprint).thumbprint


def _claims(visit: Visit, **changed: Any) -> dict[str, Any]:
    now, own = visit.now_ms // 1000, visit.partner.thumbprint
    claims = {"iss": own, "sub": own, "aud": _audience(visit), "iat": now, "exp": now + 60, "jti": token_urlsafe(16)}
    return claims | changed


async def _claiming(visit: Visit, **changed: Any) -> None:
    signed = jose.sign(dumps(_claims(visit, **changed)), visit.partner.access_key, _TYPE)
    await _refused(await visit.ask_token(client_assertion=signed), 401, "invalid_client")


async def _refused(answer: httpx.Response, status: int, error: str) -> None:
    expect(answer.status_code == status, f"the status is {answer.status_code}, not {status}")
    found = json_of(answer).get("error")
    expect(found == error, f"the error is {found!r}, not {error!r}")


CHECKS = (token, used_twice, other_audience, other_times, other_issuer, other_keys, other_scopes, other_requests)
