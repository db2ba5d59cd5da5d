"""`sistercity conformance`: try a node as a partner would, or be a node that lies to a partner."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.settings import settings

if TYPE_CHECKING:
    from federation.conformance.trying import TriedCheck
    from federation.conformance.visit import Guest


def conformance(
    url: Annotated[str | None, typer.Argument(help="address of the node to try")] = None,
    agreement: Annotated[
        Path | None, typer.Option(help="an agreement in force with it; without one, only what is public is tried")
    ] = None,
    most_requests: Annotated[
        int, typer.Option(min=0, help="requests a minute that may be made to reach the agreed limit")
    ] = 120,
    serve: Annotated[bool, typer.Option(help="be a node instead, for a client to be tried with")] = False,
    lie: Annotated[str, typer.Option(help="what the node lies about; `list` lists the lies")] = "",
    partner: Annotated[Path | None, typer.Option(help="identity document of the client that is tried")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of loopback that the node listens on")] = 8090,
    every: Annotated[float, typer.Option(min=1, help="seconds until the node goes on with its story")] = 30.0,
) -> None:
    """Try any node as a partner would, and print a table; exit 1 if something is not as docs/wire.md says.

    With --serve: a small city that answers as docs/wire.md says, or lies in one way that its client must notice.
    """
    if lie == "list":
        from federation.conformance.lies import LIES

        width = max(map(len, LIES))
        for each in LIES.values():
            typer.echo(f"{each.name:<{width}}  {each.tells}{' (later)' if each.later else ''}")
    elif serve:
        _serve(lie, partner, port, every)
    elif url is None:
        raise wiring.CommandError("name the node to try, or be one with --serve")
    else:
        _try(url, agreement, most_requests)


def _try(url: str, agreement: Path | None, most_requests: int) -> None:
    import asyncio

    from federation.conformance.trying import table

    tried = asyncio.run(_tried(url, None if agreement is None else _guest(agreement), most_requests))
    typer.echo(table(tried))
    if any(check.result == "failed" for check in tried):
        raise typer.Exit(1)


async def _tried(url: str, guest: "Guest | None", most_requests: int) -> "list[TriedCheck]":
    from dataclasses import replace

    from federation.conformance.trying import try_node
    from federation.conformance.visit import Visit
    from federation.partners.connecting import client
    from federation.partners.limits import FetchLimits
    from node.commands.pull import partner_network

    address = url if url.endswith("/") else f"{url}/"
    async with client(FetchLimits(), replace(partner_network(), private_addresses=True)) as http:
        return await try_node(Visit(http, address, now_ms, guest, most_requests=most_requests))


def _guest(agreement: Path) -> "Guest":
    from federation.agreements.document import open_agreement
    from federation.conformance.visit import Guest
    from node.identity_files import key_path, online_keys, read_document

    own = read_document()
    opened = open_agreement(_read(agreement), now_ms=now_ms())
    opened.party(own.thumbprint)
    key = own.signing_key("access", online_keys("access"), now_ms())
    if key is None:
        raise wiring.CommandError(f"no access key of {own.city} that holds now is at {key_path('access')}")
    return Guest(key, own.thumbprint, opened)


def _serve(lie: str, partner: Path | None, port: int, every: float) -> None:
    import uvicorn

    from federation.conformance.lies import LIES
    from federation.conformance.node import TellingNode
    from federation.conformance.offering import offer
    from federation.conformance.story import SmallCity
    from federation.identity.document import open_identity
    from node.identity_files import read_text

    if lie and lie not in LIES:
        raise wiring.CommandError(f"{lie!r} is no lie that this node tells: `sistercity conformance --lie list`")
    if partner is None:
        raise wiring.CommandError("name the identity document of the client that is tried: --partner FILE")
    stop = lifecycle.start("conformance")
    client = open_identity(read_text(partner), pinned=None, now_ms=now_ms())
    city = SmallCity("telltown", f"http://127.0.0.1:{port}", now_ms())
    proposal, id_ = offer(city, client, now_ms())
    for name, content in (("telltown.jws", city.identity().encode() + b"\n"), ("telltown.proposal.json", proposal)):
        Path(name).write_bytes(content)
        typer.echo(f"{name} is written")
    typer.echo("Accept and install telltown.proposal.json, then pull; private addresses must be allowed.")
    node = TellingNode(city, client, {id_}, LIES.get(lie), period_ms=round(every * 1000))
    server = uvicorn.Server(uvicorn.Config(node.app(), port=port, log_level=settings().log_level.lower()))
    lifecycle.stop_when(stop, lambda: setattr(server, "should_exit", True))
    server.run()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise wiring.CommandError(f"{path} can't be read: {error.strerror}") from None
