"""`sistercity sources`: what a file would send, without a node."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.commands.ingest.files import Interval, zone_named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from ingest.files.reading import FileFormat
    from ingest.files.trying import SourceSummary, Tried
    from ingest.live.sources_file import SourceContent
    from ingest.tables.profile import Profile, Said

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
    """Make a token for a sender over HTTP, and what the list of sources keeps of it (docs/push.md)."""
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
    device: Annotated[
        list[str] | None, typer.Option(help="a device of the package, or a device file: the file holds uplinks")
    ] = None,
    sources: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="a list of live sources, and --name: one of it")
    ] = None,
    name: Annotated[str | None, typer.Option(help="of the source of the list that would deliver the file")] = None,
    depth_mm: Annotated[int | None, typer.Option(min=1, help="of the containers: the register is not asked")] = None,
    lines: Annotated[int, typer.Option(min=1, max=10_000, help="readings, sources, refusals of a reason")] = 10,
) -> None:
    """Show what a file would send and why each line would not; nothing is sent, and no node is needed."""
    from ingest.codecs.device import load_devices
    from ingest.files.trying import tried
    from ingest.live.sources_file import DeviceContent
    from ingest.tables.profile import Said
    from ingest.tables.profile_file import load_profile

    if sum(given is not None for given in (profile, device, sources)) > 1 or (sources is None) != (name is None):
        raise wiring.CommandError("give --profile, or --device, or --sources with --name")
    if profile is not None:
        said = Said(zone and zone_named(zone).key, unit, interval_s and interval_s * 1_000, column)
        form = _table(load_profile(profile), said)
    elif device is not None:
        form = _form(DeviceContent(load_devices(device)), depth_mm)
    elif sources is not None and name is not None:
        form = _form(_listed(sources, name), depth_mm)
    else:
        _propose(file)
        return
    found = tried(form, file, lines)
    for line in shown(found, form.noun, lines):
        typer.echo(line)
    if not found.sent:
        raise wiring.CommandError("no reading would be sent")


def _propose(file: Path) -> None:
    from ingest.files.unpacking import unpacked
    from ingest.tables.proposing import proposed

    with unpacked(file) as plain:
        proposal = proposed(plain)
    for name in proposal.fitting:
        typer.echo(f"has the columns of the profile {name}: sistercity sources try {file} --profile {name}")
    if not proposal.text:
        return
    typer.echo(f"{'' if not proposal.fitting else 'or '}a profile for it:\n\n{proposal.text}")
    for question in proposal.questions:
        typer.echo(f"to be decided: {question}")
    typer.echo("Save it as a file that ends in .toml, decide what is open, and try again with --profile FILE.")


def _table(profile: "Profile", said: "Said") -> "FileFormat":
    from ingest.tables.table import Table

    needs_city = said.zone is None and profile.time.zone == "city"
    return Table(profile, said, zone_named(wiring.city().zone if needs_city else "UTC"))


def _listed(sources: Path, name: str) -> "SourceContent":
    """What a source of a list delivers."""
    from ingest.live.sources_file import load_sources

    listed = {source.name: source.content for source in load_sources(sources).every}
    if name not in listed:
        raise wiring.CommandError(f"--name {name}: the list has {', '.join(listed)}")
    return listed[name]


def _form(content: "SourceContent", depth_mm: int | None) -> "FileFormat":
    from zoneinfo import ZoneInfo

    from ingest.live.sources_file import TableContent, form_of

    if isinstance(content, TableContent):
        return _table(content.profile, content.said)
    return form_of(content, ZoneInfo("UTC"), lambda source, time_ms: depth_mm)


def _amount(metric: str, value: "int | Fraction | None") -> str:
    from schemas.catalogue import catalogue

    kind = catalogue()[metric]
    return "too many" if value is None else f"{float(value / kind.smallest_per_unit):,.3f} {kind.unit}"


def _when(time_ms: int) -> str:
    from store.moments import moment

    return f"{moment(time_ms):%Y-%m-%d %H:%M:%S}"


def _summaries(sources: "Mapping[tuple[str, str], SourceSummary]", most: int) -> list[str]:
    """Tables of sources: of those whose readings add up, and of those that report levels."""
    from ingest.files.trying import in_columns
    from schemas.catalogue import catalogue

    text = ["", f"sources: {len(sources)}"]
    for adds_up, columns in ((True, ("sum",)), (False, ("least", "median", "most"))):
        rows = [("source", "metric", "readings", *columns, "from (UTC)", "until (UTC)")]
        of_kind = [(key, found) for key, found in sources.items() if catalogue()[key[0]].adds_up == adds_up]
        for (metric, source), found in of_kind[:most]:
            values = (found.total,) if adds_up else (found.least, found.median, found.most)
            amounts = [_amount(metric, value) for value in values]
            times = _when(found.first_ms), _when(found.until_ms)
            rows.append((source or "--source", metric, str(found.readings), *amounts, *times))
        text += [f"  {line}" for line in in_columns(rows, range(2, 3 + len(columns)))] if of_kind else []
    return text


def shown(found: "Tried", noun: str, most: int) -> list[str]:
    """The outcome of a try, as lines."""
    from ingest.files.reasons import WHAT_TO_DO
    from ingest.files.trying import in_columns

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
                _when(parsed.start_ms),
                f"{parsed.interval_ms / 1_000:g}",
                _amount(parsed.metric, parsed.value),
                "measured" if parsed.quality else "estimated",
            )
            for parsed in found.first
        ]
        text += ["", "first readings:", *(f"  {line}" for line in in_columns(rows, (0, 3, 4)))]
        text += _summaries(found.sources, most)
    if found.refusals:
        lines = [("position", "reason", "original")]
        lines += [
            (str(item.position), item.reason, item.original[:100].decode("utf-8", "backslashreplace"))
            for item in found.refusals
        ]
        text += ["", "refused:", *(f"  {line}" for line in in_columns(lines, (0,)))]
        text += ["", *(f"{reason}: {WHAT_TO_DO[reason]}" for reason in found.refused if reason in WHAT_TO_DO)]
    return text
