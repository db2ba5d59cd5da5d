"""What the demo shows in the end: the account of every stream, whether it is as it was sent, and the comparison."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from federation.compare import Comparison, decimals
from node.demo.cities import DATASET, DemoCity, Stand


def account(one: DemoCity, partner: DemoCity, reached: Stand) -> Mapping[str, int]:
    """The numbers of one city's stream, as demo.json holds them."""
    stream = reached.stream
    assert stream is not None
    counts = asdict(stream.account)
    return {
        "messages": counts["messages"],
        "in": counts["readings"],
        **{name: counts[name] for name in ("aggregated", "duplicate", "late", "rejected", "dead", "open", "lost")},
        "refused": reached.refused,
        "acknowledged_messages": stream.acknowledged.messages,
        "acknowledged": stream.acknowledged.readings,
        "windows_closed": stream.windows,
        "publications_made": stream.publications,
        "publications_pulled": reached.pulled.get(partner.city.id, 0),
        "cells_released": stream.cells_released,
        "cells_suppressed": stream.cells_suppressed,
    }


def faults(reached: Stand, numbers: Mapping[str, int]) -> Iterator[str]:
    """Whatever in the account is not as it must be (R8), in words."""
    if reached.stream is None or reached.expected is None:
        yield "nothing was accounted for"
        return
    if not reached.stream.account.balanced():
        yield f"the account does not add up: {reached.stream.account}"
    for mine, theirs in (("messages", "acknowledged_messages"), ("in", "acknowledged")):
        if numbers[mine] != numbers[theirs]:
            yield f"{mine}: {numbers[mine]} accounted for, {numbers[theirs]} acknowledged by Kafka"
    for outcome in ("duplicate", "late", "rejected", "dead"):
        if numbers[outcome] != reached.expected[outcome]:
            yield f"{outcome}: {numbers[outcome]} counted, {reached.expected[outcome]} sent on purpose"
    refused, expected = numbers["refused"], reached.expected["refused"]
    live = numbers["messages"] > reached.expected["messages"]  # unknown sources go on sending in real time
    if refused < expected or (refused > expected and not live):
        yield f"refused: {refused} counted, {expected} sent on purpose"


def summary(content: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """The accounts of the cities side by side."""
    names = list(content)
    yield f"  {DATASET:22}" + "".join(f"{name:>20}" for name in names)
    for number in next(iter(content.values())):
        label = number.replace("_", " ")
        yield f"  {label:22}" + "".join(f"{content[name][number]:>20,}" for name in names)


def table(rows: Sequence[Comparison], cities: Sequence[str]) -> Iterator[str]:
    """The comparison per person and day, or as a mean where it says so; suppressed is said in so many words."""
    by_city = {(row.metric, row.class_, row.city): row for row in rows}
    means = {row.metric for row in rows if row.measure == "mean"}
    yield f"  {'per person and day':32}" + "".join(f"{name:>25}" for name in cities)
    for metric, class_ in dict.fromkeys((row.metric, row.class_) for row in rows):
        label = f"{metric}, {class_}" + (", mean" if metric in means else "")
        figures = (_figure(by_city.get((metric, class_, name))) for name in cities)
        yield f"  {label:32}" + "".join(f"{figure:>25}" for figure in figures)


def _figure(row: Comparison | None) -> str:
    if row is None:
        return "nothing published"
    if row.figure is None:
        return "suppressed"
    return f"{row.figure:,.{decimals(row.figure)}f} {row.unit} ({row.population_share:.0%} shown)"
