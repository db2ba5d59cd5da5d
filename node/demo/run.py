"""The course of the demo: start, wait until everything is accounted for, published and pulled, show it, stay or end."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from time import monotonic

import typer

from embedded.remove import remove
from embedded.services import services
from errors import OperatorError
from federation.compare import comparisons
from node.demo.accounts import accounts, faults, summary
from node.demo.children import Children, preload
from node.demo.cities import DemoCity, Stand, prepare, set_up, stand, start
from node.demo.results import table
from schemas.catalogue import catalogue
from store.database import connect

CITIES = ("isfahan", "ho-chi-minh-city")

_LOOK_S = 0.5
_LONGEST_S = 600
_QUIET_S = 2
"""Without a terminal, progress is a line of its own this often."""

Say = Callable[[str], None]


class DemoFailed(OperatorError):
    """The demo did not come to what it must come to; the text says where."""


def run(home: Path, stop: Event, *, once: bool, meters: int, output: Path) -> None:
    """Run the demo on fresh data in `home`/demo; `stop` ends it early.

    Raises `DemoFailed` if an account does not add up, `node.demo.children.ChildEnded` if a process dies.
    """
    began = monotonic()
    folder = home / "demo"

    def say(line: str) -> None:
        typer.echo(f"{monotonic() - began:5.1f} s  {line}")

    preload()
    remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with services(folder, installed=home, report=say) as running:
        children = Children(folder)
        try:
            cities = [prepare(name, number, running, folder) for number, name in enumerate(CITIES)]
            set_up(cities, children)
            for one, partner in zip(cities, reversed(cities), strict=True):
                start(one, partner, children, meters=meters, follow=not once)
            say(f"started both cities, each with {meters:,} meters, waste and cameras; the last day is replayed")
            reached = _wait(cities, children, stop, say, began, live=not once)
            if reached:
                _show(cities, reached, monotonic() - began, output, live=not once)
                if not once:
                    _stay(cities, children, stop)
        finally:
            children.close()


def _wait(
    cities: Sequence[DemoCity], children: Children, stop: Event, say: Say, began: float, *, live: bool
) -> list[Stand] | None:
    """Wait until both cities have done all and pulled each other; None if told to stop before."""
    shown = monotonic()
    while not stop.wait(_LOOK_S):
        children.check()
        reached = [stand(one) for one in cities]
        if all(one.done(live=live) for one in reached) and _exchanged(cities, reached):
            _progress("", last=True)
            return reached
        if monotonic() - began > _LONGEST_S:
            raise DemoFailed(f"not done after {_LONGEST_S} s: {'; '.join(one.describe() for one in reached)}")
        line = "; ".join(f"{one.city.id}: {at.describe()}" for one, at in zip(cities, reached, strict=True))
        if sys.stdout.isatty():
            _progress(line)
        elif monotonic() - shown > _QUIET_S:
            shown = monotonic()
            say(line)
    return None


def _exchanged(cities: Sequence[DemoCity], reached: Sequence[Stand]) -> bool:
    """Whether each has pulled as many publications as the other has made."""
    made = {one.city.id: at.publications() for one, at in zip(cities, reached, strict=True)}
    return all(
        sum(count for (city, _), count in at.pulled.items() if city == partner.city.id) == made[partner.city.id]
        for at, partner in zip(reached, reversed(cities), strict=True)
    )


def _progress(line: str, *, last: bool = False) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="\n" if last and line else "", flush=True)


def _show(cities: Sequence[DemoCity], reached: Sequence[Stand], seconds: float, output: Path, *, live: bool) -> None:
    """Print account and comparison, write them down, and raise `DemoFailed` if anything is not as it must be."""
    numbers = {
        one.city.id: accounts(one, partner, at)
        for one, partner, at in zip(cities, reversed(cities), reached, strict=True)
    }
    with connect(cities[0].database_url, name="sistercity demo") as connection:
        compared = comparisons(connection, cities[0].city.id, catalogue())
    names = [one.city.id for one in cities]
    typer.echo("\n".join(["", *summary(numbers), *table(compared, names), ""]))
    output.write_text(json.dumps({"seconds": round(seconds, 1), "cities": numbers}, indent=2) + "\n")
    wrong = [
        f"{one.city.id}: {fault}"
        for one, at in zip(cities, reached, strict=True)
        for fault in faults(at, numbers[one.city.id], live=live)
    ]
    shown = {(row.city, row.metric) for row in compared}
    wrong += [f"{name}: nothing of {metric}" for name in names for metric in catalogue() if (name, metric) not in shown]
    if wrong:
        raise DemoFailed("\n".join(["the accounts are not as they must be:", *wrong]))
    typer.echo(f"Every account adds up, and what was sent wrong on purpose was counted. {seconds:.0f} s; {output}")


def _stay(cities: Sequence[DemoCity], children: Children, stop: Event) -> None:
    typer.echo("")
    for one in cities:
        typer.echo(f"{one.city.name}")
        typer.echo(f"  page          {one.url}/")
        typer.echo(f"  catalogue     {one.url}/v1/catalog")
        typer.echo(f"  publications  {one.url}/v1/publications")
        typer.echo(f"  one series    {one.url}/v1/series/energy.import")
        typer.echo(f"  OpenAPI       {one.url}/openapi.json")
        for role, port in one.metrics_ports.items():
            typer.echo(f"  {role + ' metrics':15} http://127.0.0.1:{port}/metrics")
    typer.echo("\nBoth cities go on in real time. Ctrl-C stops everything.")
    while not stop.wait(_LOOK_S):
        children.check()
