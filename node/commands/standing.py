"""`sistercity standing`: which cells are open this month, from what that was decided, and which have closed."""

import csv
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.clock import now_ms

if TYPE_CHECKING:
    from store.standing import KeptDecision

COLUMNS = ("area", "area_name", "class", "open", "passed", "measured", "registered", "closed_in_window")


def standing(
    metric: Annotated[str | None, typer.Argument(help="show every cell of this metric, as CSV")] = None,
    at: Annotated[datetime | None, typer.Option(help="the decisions that hold at this time, UTC; default: now")] = None,
) -> None:
    """Show what was decided for this month: opening times and open cells of each metric, and why. Never served."""
    from schemas.catalogue import catalogue
    from store.areas import versions
    from store.moments import milliseconds
    from store.standing import kept_decisions

    if metric is not None and metric not in catalogue():
        raise wiring.CommandError(f"{metric!r} is no metric; the catalogue has {', '.join(catalogue())}")
    when = now_ms() if at is None else milliseconds(at.replace(tzinfo=UTC))
    with wiring.database("standing") as connection:
        kept = {found.decision.metric: found for found in kept_decisions(connection, when)}
        if metric is None:
            for name in catalogue():
                _summary(name, kept.get(name))
            return
        if metric not in kept:
            raise wiring.CommandError(
                f"nothing was decided for {metric}; the publisher decides before its first window"
            )
        versions_known = versions(connection, catalogue()[metric].registered_as)
    names = {number: area.name for version in versions_known for number, area in version.areas.items()}
    _cells(kept[metric], names)


def _summary(metric: str, kept: "KeptDecision | None") -> None:
    from store.moments import moment

    if kept is None:
        typer.echo(f"{metric}: nothing decided yet")
        return
    decision = kept.decision
    period = f"{moment(decision.period.start).isoformat()} to {moment(decision.period.end).isoformat()}"
    typer.echo(f"{metric}: {period}")
    basis = "the register" if decision.basis == "register" else f"{decision.windows} measured windows"
    when = moment(kept.decided_at).isoformat(timespec="seconds")
    typer.echo(f"  decided from {basis} by {kept.decided_by} at {when}")
    for class_ in sorted({cell.class_ for cell in decision.cells}):
        cells = [cell for cell in decision.cells if cell.class_ == class_]
        still = sum((cell.area, cell.class_) in kept.open for cell in cells)
        closed = sum(of_class == class_ for _, of_class in kept.closed)
        times = _ranges(sorted(decision.times[class_])) or "no time"
        what = f"{still} of {len(cells)} cells open at {times}; {closed} closed since they failed their rule"
        typer.echo(f"  {class_:14} {what}")


def _cells(kept: "KeptDecision", names: dict[int, str]) -> None:
    from store.moments import moment

    still_open = kept.open
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for cell in kept.decision.cells:
        place = (cell.area, cell.class_)
        closed = kept.closed.get(place)
        counts = (cell.passed, cell.measured, "" if cell.registered is None else cell.registered)
        since = "" if closed is None else moment(closed).isoformat()
        out.writerow((cell.area, names.get(cell.area, ""), cell.class_, place in still_open, *counts, since))


def _ranges(times: list[int]) -> str:
    """The times as "0-5, 22-23"."""
    found: list[list[int]] = []
    for at in times:
        if found and found[-1][-1] == at - 1:
            found[-1][1:] = [at]
        else:
            found.append([at])
    return ", ".join("-".join(map(str, part)) for part in found)
