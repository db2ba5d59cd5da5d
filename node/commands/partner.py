"""`sistercity partner`: what a partner has signed against itself, and going on after an operator has decided."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring

if TYPE_CHECKING:
    from store.agreements import InstalledAgreement
    from store.database import Connection
    from store.settlements import RecordedContradiction

app = typer.Typer(
    help="Partners that contradict themselves, or send what is refused: see it, and go on.", no_args_is_help=True
)

_City = Annotated[str, typer.Argument(help="the partner's id, as in `sistercity status`")]
_By = Annotated[str, typer.Option(help="who decides: a name that is found again in a year")]
_Reason = Annotated[str, typer.Option(help="why, in words")]
_Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


class GoOn(StrEnum):
    """Which story is gone on with."""

    kept = "kept"
    replaced = "replaced"


@app.command()
def show(
    city: _City,
    out: Annotated[
        Path | None, typer.Option(help="folder for the signed pieces as files, which prove it to anybody")
    ] = None,
) -> None:
    """Show every contradiction of a partner with both signed pieces, what was decided, and the bodies passed over."""
    from federation.wire import rfc3339
    from store.settlements import recorded_contradictions, skipped_bodies

    with wiring.database("partner") as connection:
        thumbprint = _thumbprint(connection, city)
        found, skipped = recorded_contradictions(connection, thumbprint), skipped_bodies(connection, thumbprint)
    for recorded in found:
        for line in _description(city, recorded):
            typer.echo(line)
        if out is not None:
            _write(out, recorded)
    for body in skipped:
        typer.echo(f"{city}: body {body.sequence} of {body.metric} is passed over, by {body.by} on {rfc3339(body.at)}:")
        typer.echo(f"  {body.why}")
    if not found and not skipped:
        typer.echo(f"{city} has contradicted itself in nothing, and no body of it is passed over")


@app.command()
def settle(
    city: _City,
    metric: Annotated[str, typer.Argument(help="the metric, or `all` where the whole city has contradicted itself")],
    go_on: Annotated[
        GoOn,
        typer.Option(
            "--go-on-with",
            help="kept: with what is stored here, if the city goes on from it. replaced: with what the city tells now,"
            " from its beginning; what is stored here of it goes into the proof",
        ),
    ],
    by: _By,
    reason: _Reason,
    yes: _Yes = False,
) -> None:
    """Settle a contradiction: the metric is pulled again. Both signed pieces and the decision are kept for good."""
    from store.settlements import recorded_contradictions
    from store.settlements import settle as decide

    with wiring.database("partner") as connection:
        wanted = "" if metric == "all" else metric
        of_city = recorded_contradictions(connection, _thumbprint(connection, city))
        unsettled = [each for each in of_city if each.found.metric == wanted and each.settlement is None]
        if not unsettled:
            raise wiring.CommandError(f"nothing of {metric} of {city} waits for a decision: `sistercity partner show`")
        for line in _description(city, unsettled[0]):
            typer.echo(line)
        if not yes:
            typer.confirm(f"Which is true, no signature tells. Go on with what is {go_on.value}?", abort=True)
        moved = decide(connection, unsettled[0], go_on.value, by=by, why=reason)
    gone = f", {moved} entries went into the proof, their bodies and figures were erased" if moved else ""
    typer.echo(f"settled{gone}: the next pull reads {metric} of {city} from its beginning")


@app.command()
def skip(
    city: _City,
    metric: Annotated[str, typer.Argument(help="the metric")],
    sequence: Annotated[
        int, typer.Argument(min=1, help="of the body that is refused, as `sistercity status` names it")
    ],
    by: _By,
    reason: _Reason,
) -> None:
    """Pass over a body that is refused whenever it comes: its entry stays, its window stays empty, pulling goes on."""
    from store.settlements import skip_body

    with wiring.database("partner") as connection:
        if not skip_body(connection, _thumbprint(connection, city), metric, sequence, by=by, why=reason):
            words = "either no entry of it is here, or its body is, or it was passed over before"
            raise wiring.CommandError(f"body {sequence} of {metric} of {city} can't be passed over: {words}")
    typer.echo(f"body {sequence} of {metric} of {city} is passed over from the next pull on")


def _thumbprint(connection: "Connection", city: str) -> str:
    """The identity of a partner: that of an agreement in force, else of the newest one."""
    from store.agreements import known_agreements

    known = [each for each in known_agreements(connection) if each.agreement.city == city]
    if not known:
        raise wiring.CommandError(f"there was never an agreement with {city}: `sistercity agreement list`")
    holding: list[InstalledAgreement] = [each.agreement for each in known if each.in_force]
    return (holding or [known[-1].agreement])[-1].partner


def _description(city: str, recorded: "RecordedContradiction") -> Iterator[str]:
    from federation.wire import rfc3339

    found = recorded.found
    where = "" if found.sequence is None else f" at entry {found.sequence}"
    yield f"{city}, {found.metric or 'all metrics'}: {found.reason}{where}, found on {rfc3339(recorded.found_at)}"
    shown = "" if found.seen_by == found.thumbprint else f", shown by the city with the identity {found.seen_by}"
    yield from _head("first ", found.first, found.metric)
    yield from _head(f"second{shown}", found.second, found.metric)
    if lines := found.lines.count(b"\n"):
        yield f"  {lines} entries lead from where the stories part to the second"
    if recorded.settlement is None:
        yield "  nobody has settled it: nothing more of it is taken"
    else:
        decided = recorded.settlement
        yield f"  settled on {rfc3339(decided.at)} by {decided.by}, going on with what was {decided.choice}:"
        yield f"    {decided.why}"


def _head(name: str, document: str, metric: str) -> Iterator[str]:
    """A head in words; that it is signed was verified when it came."""
    from federation.jose import claimed_payload, signer
    from federation.strict_json import loads

    head = loads(claimed_payload(document))
    yield f"  {name}: head {head['number']} of {head['issued_at']}, signed by key {signer(document, 'sistercity-head')}"
    for named, end in head["metrics"].items():
        if metric in ("", named):
            yield f"    {named}: entry {end['sequence']} has the hash {end['hash']}"
    if metric and metric not in head["metrics"]:
        yield f"    names no entry of {metric}"


def _write(folder: Path, recorded: "RecordedContradiction") -> None:
    found = recorded.found
    folder.mkdir(parents=True, exist_ok=True)
    pieces = {"first.jws": found.first.encode(), "second.jws": found.second.encode(), "entries.jsonl": found.lines}
    for name, content in pieces.items():
        path = folder / f"{recorded.id}-{found.metric or 'all'}-{name}"
        if content:
            path.write_bytes(content)
            typer.echo(f"  {path}")
