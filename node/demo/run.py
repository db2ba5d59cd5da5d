"""The course of the demo: start, wait until everything is accounted for, published and pulled, show it, stay or end."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import monotonic

import typer

from embedded.remove import remove
from embedded.services import services
from errors import OperatorError
from federation.compare import comparisons
from node.clock import now_ms
from node.demo.accounts import accounts, faults, summary
from node.demo.certificates import Authority
from node.demo.children import Children, emptied
from node.demo.cities import (
    CityProgress,
    DemoCity,
    prepare,
    read_progress,
    replayed_since,
    set_up,
    start,
    start_publishing,
    start_pulling,
)
from node.demo.exchange import AgreedExchange, settle
from node.demo.results import refused, table
from schemas.catalogue import catalogue, leaving, published
from store.database import Connection, connect

CITIES = ("isfahan", "ho-chi-minh-city")

_POLL_S = 0.5
_LONGEST_S = 600
_QUIET_S = 2
"""Seconds between lines of progress without a terminal."""

Say = Callable[[str], None]


class DemoFailed(OperatorError):
    """The demo did not reach its goal; the text says what is missing or wrong."""


def run(home: Path, stop: Event, *, once: bool, meters: int, output: Path) -> None:
    """Run the demo on fresh data in `home`/demo; `stop` ends it early.

    `node.demo.children.preload` is to be called before.

    Raises `DemoFailed` if an account does not add up, `node.demo.children.ChildEnded` if a process dies.
    """
    began = monotonic()
    folder = home / "demo"

    def say(line: str) -> None:
        typer.echo(f"{monotonic() - began:5.1f} s  {line}")

    remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with services(folder, installed=home, report=say, lasting=False) as running:
        children = Children(folder)
        try:
            authority = Authority(emptied(folder / "tls"), datetime.now(UTC))
            cities = [prepare(name, number, running, folder, authority) for number, name in enumerate(CITIES)]
            set_up(cities, children)
            settled = settle(cities, authority)
            say("both cities have signed one agreement")
            for city in cities:
                start(city, children, meters=meters, follow=not once)
            say(f"started both cities, each with {meters:,} meters, waste and cameras; the last day is replayed")
            reached = _wait(cities, children, stop, say, began, live=not once)
            if reached:
                _show(cities, reached, settled, monotonic() - began, output, live=not once)
                if not once:
                    _stay(cities, children, stop)
        finally:
            children.close()


def _wait(
    cities: Sequence[DemoCity], children: Children, stop: Event, say: Say, began: float, *, live: bool
) -> list[CityProgress] | None:
    """Wait until both cities have processed, published and pulled everything; None if `stop` is set before."""
    shown = monotonic()
    started: set[tuple[str, str]] = set()
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(city.database_url, name="sistercity demo")) for city in cities]
        while not stop.wait(_POLL_S):
            children.check()
            reached = [read_progress(*each) for each in zip(connections, cities, strict=True)]
            _start_exchange(connections, cities, reached, children, started, live=live)
            if all(progress.done(live=live) for progress in reached) and _exchanged(cities, reached):
                _show_line("", last=True)
                return reached
            described = [f"{city.id}: {progress.describe()}" for city, progress in zip(cities, reached, strict=True)]
            line = "; ".join(described)
            if monotonic() - began > _LONGEST_S:
                raise DemoFailed(f"not done after {_LONGEST_S} s: {line}")
            if sys.stdout.isatty():
                _show_line(line)
            elif monotonic() - shown > _QUIET_S:
                shown = monotonic()
                say(line)
    return None


def _start_exchange(
    connections: Sequence[Connection],
    cities: Sequence[DemoCity],
    reached: Sequence[CityProgress],
    children: Children,
    started: set[tuple[str, str]],
    *,
    live: bool,
) -> None:
    """Start the publishers of cities whose replay is accounted for, and the pullers of those whose partner has
    published. `started` has (role, city) of those that were started before."""
    for connection, city, progress in zip(connections, cities, reached, strict=True):
        if ("publish", city.id) not in started and progress.processed(live=live):
            since = replayed_since(connection, city)
            if since is not None:
                start_publishing(city, since, children)
                started.add(("publish", city.id))
    for city, partner in zip(cities, reversed(reached), strict=True):
        if ("pull", city.id) not in started and partner.done(live=live):
            start_pulling(city, children)
            started.add(("pull", city.id))


def _exchanged(cities: Sequence[DemoCity], reached: Sequence[CityProgress]) -> bool:
    """Whether each city has pulled as many publications as the other has made."""
    made = {city.id: progress.publications() for city, progress in zip(cities, reached, strict=True)}
    return all(
        sum(count for (name, _), count in progress.pulled.items() if name == partner.id) == made[partner.id]
        for progress, partner in zip(reached, reversed(cities), strict=True)
    )


def _show_line(line: str, *, last: bool = False) -> None:
    """Show a line of progress in place of the last, on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="\n" if last and line else "", flush=True)


def _show(
    cities: Sequence[DemoCity],
    reached: Sequence[CityProgress],
    settled: AgreedExchange,
    seconds: float,
    output: Path,
    *,
    live: bool,
) -> None:
    """Print accounts and comparison and write the accounts to `output`. Raises `DemoFailed` if a number is wrong."""
    stranger = settled.refusals(now_ms())
    numbers = {
        city.id: accounts(partner, progress)
        for city, partner, progress in zip(cities, reversed(cities), reached, strict=True)
    }
    with connect(cities[0].database_url, name="sistercity demo") as connection:
        compared = comparisons(connection, cities[0].id, published())
    names = [city.id for city in cities]
    typer.echo("\n".join(["", *summary(numbers), *table(compared, names), "", *refused(cities[0].id, stranger), ""]))
    content = {"seconds": round(seconds, 1), "cities": numbers, "without_agreement": stranger}
    output.write_text(json.dumps(content, indent=2) + "\n")
    wrong = [
        f"{city.id}: {fault}"
        for city, progress in zip(cities, reached, strict=True)
        for fault in faults(progress, numbers[city.id], live=live)
    ]
    shown = {(row.city, row.metric) for row in compared}
    leave = [metric.name for metric in leaving(catalogue().values(), catalogue())]  # the cities have sources of each
    wrong += [
        f"{request} gave a city without an agreement {said}" for request, said in stranger.items() if said[0] != "4"
    ]
    wrong += [f"{name}: nothing of {metric}" for name in names for metric in leave if (name, metric) not in shown]
    if wrong:
        raise DemoFailed("\n".join(["the accounts are not as they must be:", *wrong]))
    typer.echo(f"Every account adds up, and what was sent wrong on purpose was counted. {seconds:.0f} s; {output}")


def _stay(cities: Sequence[DemoCity], children: Children, stop: Event) -> None:
    typer.echo("")
    for city in cities:
        typer.echo(f"{city.facts.name}")
        typer.echo(f"  page          {city.url}/")
        typer.echo(f"  comparison    {city.url}/v1/compare?format=csv")
        typer.echo(f"  one series    {city.url}/v1/series/energy.import")
        typer.echo(f"  for partners  {city.public_url}/v1/identity")
        typer.echo(f"  catalogue     {city.public_url}/v1/catalog")
        typer.echo(f"  OpenAPI       {city.url}/openapi.json")
        for role, port in city.metrics_ports.items():
            typer.echo(f"  {role + ' metrics':15} http://127.0.0.1:{port}/metrics")
    typer.echo("\nBoth cities go on in real time. Ctrl-C stops everything.")
    while not stop.wait(_POLL_S):
        children.check()
