"""`sistercity pull`: what partner cities publish."""

from typing import Annotated

import typer

from node import lifecycle, wiring


def pull(
    url: Annotated[list[str], typer.Argument(help="address of a partner's API, http://host:port")],
    follow: Annotated[bool, typer.Option(help="keep pulling until stopped")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between pulls when following")] = 30.0,
) -> None:
    """Pull what partners have published since the last time, and keep it in this city's database."""
    import asyncio

    from federation.partners.fetching import PartnerError
    from federation.partners.partner import PartnerAddress
    from federation.partners.pulling import follow as keep_pulling
    from federation.partners.pulling import pull as pull_once

    stop = lifecycle.start("pull")
    partners = [PartnerAddress(address) for address in url]
    own, database = wiring.city().id, wiring.database_url()

    async def following() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        lifecycle.stop_when(stop, lambda: loop.call_soon_threadsafe(ended.set))
        await keep_pulling(partners, database, own, ended, poll_s=every)

    async def once() -> None:
        failures = []
        for partner in partners:
            try:
                done = await pull_once(partner, database, own)
            except PartnerError as error:  # the other partners are pulled all the same
                failures.append(str(error))
            else:
                typer.echo(f"{done.city}: {done.publications} publications in {done.pages} pages")
        if failures:
            raise wiring.CommandError("\n".join(failures))

    asyncio.run(following() if follow else once())
