"""`sistercity register`: the city's sources, their numbers, and the areas that cells are made for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node import wiring
from node.clock import now_ms


class Order(StrEnum):
    """The values of `--dates`."""

    day_first = "day-first"
    month_first = "month-first"


app = typer.Typer(help="The register of the city's sources.", no_args_is_help=True)


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV: source,metric,district,contributor,class,valid_from,valid_to, and power_kw or depth_mm",
        ),
    ],
    people: Annotated[int | None, typer.Option(help="people that the sources serve; default: the city's")] = None,
    dates: Annotated[
        Order | None, typer.Option(help="how 01/02/2026 is meant; without it, such a date is refused")
    ] = None,
) -> None:
    """Load a register file. Any error names line and column, and then nothing is loaded."""
    from ingest.register_file import load_register

    with wiring.database("register") as connection:
        report = load_register(connection, wiring.city(), file, now_ms, people, None if dates is None else dates.value)
    rows = report.rows
    typer.echo(
        f"sources: {rows.sources_new:,} new, {rows.sources_updated:,} changed, {rows.sources_unchanged:,} as before;"
        f" {rows.contributors_new:,} new contributors"
    )
    for drawn in report.drawn:
        typer.echo(f"areas of {drawn.metric}: {drawn.areas}")


@app.command()
def spellings() -> None:
    """List ids that are spelled in several ways, or nearly equal, or not in the form in which readings find them."""
    from ingest.register_spellings import spelling_groups

    with wiring.database("register") as connection:
        groups = spelling_groups(connection, now_ms())
    for group in groups:
        kind = "one id" if group.same else "nearly equal"
        typer.echo(f"{group.kind}, {kind}: {', '.join(map(_shown, group.spellings))} -> {_shown(group.text)}")
    typer.echo(f"{len(groups)} groups of spellings")


@app.command()
def unify(
    nearly: Annotated[
        bool, typer.Option("--nearly", help="also what `spellings` lists as nearly equal: all of it is one")
    ] = False,
    rows_to: Annotated[
        Path | None, typer.Option(dir_okay=False, help="write the changed rows there, as a register file")
    ] = None,
) -> None:
    """Make the spellings of each id one, from the next window on that has not begun."""
    from ingest.register_spellings import unify

    with wiring.database("register") as connection:
        done = unify(connection, wiring.city(), now_ms, nearly=nearly, rows_to=rows_to)
    typer.echo(f"{done.contributors} contributors and {done.sources} sources are one each; {done.rows} rows changed")
    for group in done.left:
        typer.echo(
            f"not changed, since its rows differ: source {', '.join(map(_shown, group.spellings))}; "
            "end all but one of them with `sistercity register load`"
        )


def _shown(text: str) -> str:
    """An id so that spellings can be told apart that look the same."""
    return repr(text) if text.isascii() else f"{text!r} ({text!a})"
