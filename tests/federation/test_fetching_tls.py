"""A partner's certificate that nobody whom the city trusts vouches for."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from federation.partners.fetching import Fetcher, Hold, Request
from federation.partners.limits import FetchLimits, PartnerError
from node.demo.certificates import Authority


def test_a_certificate_of_an_unknown_authority_is_refused_with_the_setting_that_names_it(tmp_path: Path):
    made = Authority(tmp_path, datetime.now(UTC)).certify("hue", ["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made.certificate, made.key)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=tls) as server, httpx.AsyncClient() as http:
            url = httpx.URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/identity")
            await Fetcher(http, FetchLimits(attempts=1)).fetch(Request(url, "application/jose", 1), Hold())

    with pytest.raises(PartnerError, match="SISTERCITY_PARTNER_CA_FILE"):
        asyncio.run(ask())
