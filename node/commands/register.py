"""`sistercity register`: the city's sources, their numbers, and the areas that cells are made for."""

from pathlib import Path
from typing import Annotated

import typer

from node import wiring
from node.clock import now_ms

app = typer.Typer(help="The register of the city's sources.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `load` a subcommand of its own."""


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="CSV: source,metric,district,contributor,class,valid_from,valid_to"
        ),
    ],
    people: Annotated[int | None, typer.Option(help="people that the sources serve; default: the city's")] = None,
) -> None:
    """Load a register file. Any error names line and column, and then nothing is loaded."""
    from ingest.register_file import load_register

    with wiring.database("register") as connection:
        report = load_register(connection, wiring.city(), file, now_ms, people)
    typer.echo(f"{report.rows}")
    for drawn in report.drawn:
        typer.echo(f"{drawn.metric}: {drawn.areas} areas")
