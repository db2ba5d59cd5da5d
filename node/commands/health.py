"""`sistercity health`: whether a process of this node answers; for a container's health check."""

import urllib.error
import urllib.request
from typing import Annotated

import typer

from node.wiring import CommandError


def health(
    url: Annotated[str, typer.Option(help="what to ask: /healthz of the API, /metrics of every other process")],
    wait: Annotated[float, typer.Option(min=0.1, help="seconds to wait for the answer")] = 3.0,
) -> None:
    """Ask one URL; exit code 0 if it answers well, else 1."""
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"{url!r} is no http or https URL")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=wait):
            typer.echo("ok")
    except (OSError, ValueError) as error:  # HTTPError and URLError among them
        raise CommandError(f"{url}: {error}") from None
