"""`sistercity sources`: what a file would send, without a node."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.commands.ingest.files import Interval, zone_named

if TYPE_CHECKING:
    from ingest.files.trying import Tried

app = typer.Typer(help="Look at sources before they send.", no_args_is_help=True)


@app.command()
def profiles() -> None:
    """List the profiles of tables that the package has."""
    from ingest.files.trying import in_columns
    from ingest.tables.profile_file import load_profile, shipped_profiles

    loaded = [load_profile(name) for name in shipped_profiles()]
    for line in in_columns([(profile.name, profile.metric, profile.title) for profile in loaded]):
        typer.echo(line)


@app.command()
def token() -> None:
    """Make a token for a sender of [[http]], and what the list of sources keeps of it (docs/push.md)."""
    import hashlib
    import secrets

    made = secrets.token_urlsafe(32)
    typer.echo(f"token, for the sender: {made}")
    typer.echo(f'in the list: token_sha256 = "{hashlib.sha256(made.encode()).hexdigest()}"')


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    profile: Annotated[str | None, typer.Option(help="a profile's name or path; default: propose one")] = None,
    zone: Annotated[str | None, typer.Option(help="zone of the file's times; default: the profile's")] = None,
    unit: Annotated[str | None, typer.Option(help="the unit of the values, where the profile has several")] = None,
    interval_s: Interval = None,
    column: Annotated[str | None, typer.Option(help="the column of the values; default: the profile's")] = None,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="readings, sources, refusals of a reason")] = 10,
) -> None:
    """Show what a table would send and why each line would not; nothing is sent, and no node is needed."""
    from ingest.files.trying import tried
    from ingest.files.unpacking import unpacked
    from ingest.tables.profile import Said
    from ingest.tables.profile_file import load_profile
    from ingest.tables.proposing import proposed
    from ingest.tables.table import Table

    if profile is None:
        with unpacked(file) as plain:
            proposal = proposed(plain)
        for name in proposal.fitting:
            typer.echo(f"has the columns of the profile {name}: sistercity sources try {file} --profile {name}")
        typer.echo(f"{'' if not proposal.fitting else 'or '}a profile for it:\n\n{proposal.text}")
        for question in proposal.questions:
            typer.echo(f"to be decided: {question}")
        typer.echo("Save it as a file that ends in .toml, decide what is open, and try again with --profile FILE.")
        return
    said = Said(zone and zone_named(zone).key, unit, interval_s and interval_s * 1_000, column)
    loaded = load_profile(profile)
    needs_city = zone is None and loaded.time.zone == "city"
    form = Table(loaded, said, zone_named(wiring.city().zone if needs_city else "UTC"))
    found = tried(form, file, lines)
    for line in shown(found, form.noun, lines):
        typer.echo(line)
    if not found.sent:
        raise wiring.CommandError("no reading would be sent")


def shown(found: "Tried", noun: str, most: int) -> list[str]:
    """The outcome of a try, as lines."""
    from ingest.files.reasons import WHAT_TO_DO
    from ingest.files.trying import in_columns
    from schemas.catalogue import catalogue
    from store.moments import moment

    def amount(metric: str, value: int) -> str:
        kind = catalogue()[metric]
        return f"{value / kind.smallest_per_unit:,.3f} {kind.unit}"

    def when(time_ms: int) -> str:
        return f"{moment(time_ms):%Y-%m-%d %H:%M:%S}"

    refused = ", ".join(f"{count} {reason}" for reason, count in found.refused.items()) or "none"
    empty = "".join(f"; {count} {reason}" for reason, count in found.empty.items())
    text = [f"{found.sent} of {found.read} {noun} would be sent; refused: {refused}{empty}"]
    text += [f"  {note}" for note in found.notes]
    if found.first:
        rows = [("position", "source", "begins (UTC)", "seconds", "value", "quality")]
        rows += [
            (
                str(parsed.position),
                parsed.source or "--source",
                when(parsed.start_ms),
                f"{parsed.interval_ms / 1_000:g}",
                amount(parsed.metric, parsed.value),
                "measured" if parsed.quality else "estimated",
            )
            for parsed in found.first
        ]
        text += ["", "first readings:", *(f"  {line}" for line in in_columns(rows, (0, 3, 4)))]
        sums = [("source", "metric", "readings", "sum", "from (UTC)", "until (UTC)")]
        sums += [
            (source or "--source", metric, str(s.readings), amount(metric, s.value), when(s.first_ms), when(s.until_ms))
            for (metric, source), s in list(found.sums.items())[:most]
        ]
        text += ["", f"sources: {len(found.sums)}", *(f"  {line}" for line in in_columns(sums, (2, 3)))]
    if found.refusals:
        lines = [("position", "reason", "original")]
        lines += [
            (str(item.position), item.reason, item.original[:100].decode("utf-8", "backslashreplace"))
            for item in found.refusals
        ]
        text += ["", "refused:", *(f"  {line}" for line in in_columns(lines, (0,)))]
        text += ["", *(f"{reason}: {WHAT_TO_DO[reason]}" for reason in found.refused if reason in WHAT_TO_DO)]
    return text
