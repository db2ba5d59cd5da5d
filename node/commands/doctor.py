"""`sistercity doctor`: what is wrong, and what to do."""

import json
import logging
from dataclasses import asdict
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="the findings, as JSON")] = False) -> None:
    """Look at settings, Kafka, database, streams, partners and disk, and say what is wrong and what to do.

    Changes nothing. Exit code 1 if something fails; warnings are no failures.
    """
    from node.doctor.examination import examine

    for chatty in ("kafka", "httpx", "psycopg"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # what goes wrong is said once, in words
    found = []
    for one in examine():
        found.append(one)
        if not as_json:
            level = one.level.upper() if one.level == "fail" else one.level
            typer.echo(f"{level:4}  {one.what:34}  {one.words}")
    failed = any(one.level == "fail" for one in found)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [asdict(one) for one in found]}, indent=2))
    raise typer.Exit(1 if failed else 0)
