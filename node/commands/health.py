"""`sistercity health`: whether a process of this node does what it is for; for a container's health check."""

import json
import urllib.error
import urllib.request
from typing import Annotated

import typer

from node.settings import settings
from node.wiring import CommandError

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_MOST_BYTES = 1 << 16


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
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(asked, timeout=wait):
            typer.echo("ok")
    except urllib.error.HTTPError as error:
        raise CommandError(_why_not(error.read(_MOST_BYTES)) or f"{asked}: {error}") from None
    except (OSError, ValueError) as error:  # URLError among them
        raise CommandError(f"{asked} does not answer: {error}") from None


def _own_url() -> str:
    chosen = settings()
    if chosen.metrics_port is None:
        raise CommandError("set SISTERCITY_METRICS_PORT, as for the process that is asked, or give --url")
    host = _EVERYWHERE.get(chosen.metrics_host, chosen.metrics_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{chosen.metrics_port}/healthz"


def _why_not(body: bytes) -> str | None:
    """The reason in the answer of a role, or of the API (a problem)."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    role, why = content.get("role"), content.get("why_not") or content.get("detail")
    return None if why is None else f"{role}: {why}" if role else str(why)
