"""HTTP clients that reach partners only where they may be: checked as the connection is made, when names are resolved.

A name that the agreement allows may lead anywhere tomorrow. So the addresses that it leads to are looked at, and the
connection goes to the very address that was looked at.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import httpcore
import httpx

from errors import OperatorError
from federation.agreements.addresses import is_public
from federation.partners.limits import FetchLimits, Network

_CONNECTIONS = 400


class BadNetwork(OperatorError):
    """A setting of how partners are reached can't be used; the text says why."""


class PrivateAddress(Exception):
    """The name leads to an address inside a private network."""


def client(limits: FetchLimits, network: Network) -> httpx.AsyncClient:
    """A client for `fetch`: follows no redirect, and ignores proxies and other settings of the environment.

    Raises `BadNetwork`.
    """
    try:
        return httpx.AsyncClient(
            transport=_transport(network),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(limits.silence_s),
            headers={**network.headers, "Accept-Encoding": "identity", "User-Agent": "sistercity"},
        )
    except (ValueError, httpx.InvalidURL) as error:
        raise BadNetwork(f"the proxy or the headers for partners can't be used: {error}") from None


def _transport(network: Network) -> httpx.AsyncHTTPTransport:
    context = _trusted(network.ca_file)
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    if network.proxy is not None:
        return httpx.AsyncHTTPTransport(verify=context, proxy=network.proxy, limits=limits)
    return _DirectTransport(context, limits, private=network.private_addresses)


class _DirectTransport(httpx.AsyncHTTPTransport):
    """httpx's transport, with its connections made by `_PublicOnly`."""

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits, *, private: bool) -> None:
        super().__init__(verify=context, limits=limits)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            network_backend=None if private else _PublicOnly(),
        )


class _PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers. Raises `PrivateAddress` if one of them is private."""
        addresses = await _addresses(host, port)
        if private := [address for address in addresses if not is_public(address.partition("%")[0])]:
            raise PrivateAddress(f"{host} is {private[0]}, inside a private network")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`."""
        await asyncio.sleep(seconds)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(f"{host} has no address: {error}") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The authorities that a partner's certificate may come from. Reading them takes longer than most requests."""
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise BadNetwork(f"{ca_file} is no PEM file of certificates: {error}") from None
    return context
