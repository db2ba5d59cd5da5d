"""`sistercity health`: whether a process of this node does what it is for; for a container's health check."""

from typing import Annotated

import typer

from node.probe import why_not
from node.settings import settings
from node.wiring import CommandError

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def health(
    url: Annotated[
        str | None, typer.Option(help="what to ask; default: /healthz on this machine at SISTERCITY_METRICS_PORT")
    ] = None,
    wait: Annotated[float, typer.Option(min=0.1, help="seconds to wait for the answer")] = 3.0,
) -> None:
    """Ask a process whether it does what it is for; exit code 0 if so, else 1 and why not."""
    asked = _own_url() if url is None else url
    if not asked.startswith(("http://", "https://")):
        raise CommandError(f"{asked!r} is no http or https URL")
    reason = why_not(asked, wait)
    if reason is not None:
        raise CommandError(reason)
    typer.echo("ok")


def _own_url() -> str:
    chosen = settings()
    if chosen.metrics_port is None:
        raise CommandError("set SISTERCITY_METRICS_PORT, as for the process that is asked, or give --url")
    host = _EVERYWHERE.get(chosen.metrics_host, chosen.metrics_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{chosen.metrics_port}/healthz"
