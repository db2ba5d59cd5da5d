"""`sistercity pull`: what partner cities publish."""

from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.health import SILENT_S, RoleHealth
from node.settings import settings

if TYPE_CHECKING:
    from federation.partners.limits import Network
    from federation.partners.pulling import Pulling


def pull(
    follow: Annotated[bool, typer.Option(help="keep pulling until stopped")] = False,
    lost: Annotated[
        bool, typer.Option("--lost-bodies", help="ask partners for what this city published and has lost, and end")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between pulls when following")] = 30.0,
) -> None:
    """Pull what partners have published since the last time, under every agreement that gives us something."""
    import asyncio

    if lost:
        _return_lost()
        return
    from federation.partners.pulling import follow as keep_pulling
    from federation.partners.pulling import pull as pull_once

    health = RoleHealth("pull", silent_s=every + SILENT_S)
    stop = lifecycle.start("pull", health if follow else None)
    given = pulling()

    async def following() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        lifecycle.stop_when(stop, lambda: loop.call_soon_threadsafe(ended.set))
        await keep_pulling(given, ended, poll_s=every, report=health.report)

    if follow:
        asyncio.run(following())
        return
    outcomes = asyncio.run(pull_once(given))
    for done in outcomes:
        if done.result is not None and done.result.nothing_yet is not None:
            typer.echo(done.result.nothing_yet)
        elif done.result is not None:
            typer.echo(f"{done.city}: {done.result.entries} entries, {done.result.bodies} bodies")
    if failures := [done.failure for done in outcomes if done.failure is not None]:
        raise wiring.CommandError("\n".join(failures))
    if not outcomes:
        typer.echo("no agreement in force gives this city anything: `sistercity agreement list`")


def _return_lost() -> None:
    """Bodies of our own, back from partners."""
    import asyncio

    from federation.partners.returning import return_lost

    lifecycle.start("pull", metrics=False)
    back, missing = asyncio.run(return_lost(pulling()))
    typer.echo(f"{back} bodies came back from partners, {missing} are lost still")


def pulling() -> "Pulling":
    """What pulling needs, from the settings."""
    from federation.partners.pulling import Pulling
    from node.identity_files import online_keys

    return Pulling(wiring.database_url(), online_keys("access"), network=partner_network())


def partner_network() -> "Network":
    """How partners are reached, as the settings say."""
    from federation.partners.limits import Network

    chosen = settings()
    return Network(
        ca_file=chosen.partner_ca_file,
        proxy=None if chosen.partner_proxy is None else chosen.partner_proxy.get_secret_value(),
        headers={} if chosen.partner_headers is None else chosen.partner_headers.get_secret_value(),
        private_addresses=chosen.partner_private_addresses,
    )
