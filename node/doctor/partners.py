"""Partner cities: whether they answer, and are who they were."""

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from node.doctor.finding import Finding

if TYPE_CHECKING:
    import httpx

    from store.partners import PartnerState

ANSWER_S = 4.0
_CATALOG_BYTES = 8 << 20


def examine_partners(partners: "Sequence[PartnerState]") -> list[Finding]:
    """Ask all partners at the same time, each for a few seconds at most. One finding for each."""
    return asyncio.run(_ask(partners))


async def _ask(partners: "Sequence[PartnerState]") -> list[Finding]:
    from federation.partners.unsigned.fetching import UnsignedLimits, client

    limits = UnsignedLimits(bytes=_CATALOG_BYTES, deadline_s=ANSWER_S, silence_s=ANSWER_S, attempts=1)
    async with client(limits) as http:
        return await asyncio.gather(*(_examine(partner, http) for partner in partners))


async def _examine(partner: "PartnerState", http: "httpx.AsyncClient") -> Finding:
    from federation.partners.limits import PartnerError

    what = f"partner {partner.city}"
    try:
        city, log_id = await _identity(partner, http)
    except PartnerError as error:
        return Finding("warn", what, f"{error}; `sistercity pull` goes on when it is back")
    if city != partner.city:
        return Finding("fail", what, f"{partner.url} claims to be {city} now")
    if log_id != partner.log_id:
        words = "has another log than before, as after a restore; the next pull reads it from its beginning"
        return Finding("warn", what, words)
    return Finding("ok", what, f"answers at {partner.url}")


async def _identity(partner: "PartnerState", http: "httpx.AsyncClient") -> tuple[object, object]:
    """The city and the log that answer at the partner's address. Raises `PartnerError`."""
    import httpx

    from federation.partners.limits import PartnerError
    from federation.partners.unsigned.fetching import UnsignedLimits, fetch

    limits = UnsignedLimits(bytes=_CATALOG_BYTES, deadline_s=ANSWER_S, silence_s=ANSWER_S, attempts=1)
    url = httpx.URL(partner.url)
    await fetch(http, url.join("healthz"), None, limits)
    answer = await fetch(http, url.join("v1/catalog"), None, limits)
    try:
        catalog = json.loads(answer.body)
        return catalog["city"]["id"], catalog["log"]
    except (ValueError, KeyError, TypeError):
        raise PartnerError("not-well-formed", f"{url} answers, but not as a city does") from None
