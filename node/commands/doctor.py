"""`sistercity doctor`: what is wrong, and what to do."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="the findings, as JSON")] = False,
    sources: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="examine the live sources of this list, too")
    ] = None,
) -> None:
    """Examine settings, Kafka, database, streams, partners and disk; say what is wrong and what to do.

    Changes nothing. Exit code 1 if something fails; warnings are no failures.
    """
    from node.doctor.examination import examine

    for chatty in ("kafka", "httpx", "psycopg"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # what goes wrong is said once, in words
    findings = []
    for finding in examine(sources):
        findings.append(finding)
        if not as_json:
            level = finding.level.upper() if finding.level == "fail" else finding.level
            typer.echo(f"{level:4}  {finding.what:34}  {finding.words}")
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
    raise typer.Exit(1 if failed else 0)
