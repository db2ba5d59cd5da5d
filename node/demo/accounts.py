"""The accounts of the demo's streams, and whether each is as it must be."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from node.demo.cities import STREAMS, DemoCity, Stand

_COUNTED = ("aggregated", "duplicate", "late", "rejected", "dead", "open", "lost")
_ON_PURPOSE = ("duplicate", "late", "rejected", "dead")

Numbers = Mapping[str, int]


def accounts(one: DemoCity, partner: DemoCity, reached: Stand) -> Mapping[str, Numbers]:
    """The numbers of every stream of a city, as demo.json holds them. Publications and cells are its metrics'."""
    return {dataset: _account(dataset, partner, reached) for dataset in STREAMS}


def _account(dataset: str, partner: DemoCity, reached: Stand) -> Numbers:
    stream = reached.streams[dataset]
    counts = asdict(stream.account)
    return {
        "messages": counts["messages"],
        "in": counts["readings"],
        **{name: counts[name] for name in _COUNTED},
        "refused": reached.refused.get(dataset, 0),
        "acknowledged_messages": stream.acknowledged.messages,
        "acknowledged": stream.acknowledged.readings,
        "windows_closed": stream.windows,
        "publications_made": stream.publications,
        "publications_pulled": reached.pulled.get((partner.city.id, dataset), 0),
        "cells_released": stream.cells_released,
        "cells_suppressed": stream.cells_suppressed,
    }


def faults(reached: Stand, numbers: Mapping[str, Numbers], *, live: bool) -> Iterator[str]:
    """Whatever is not as it must be (R8), in words. `live`: the sources went on behind their replay."""
    for dataset, counts in numbers.items():
        for fault in _faults(reached, dataset, counts, live=live):
            yield f"{dataset}: {fault}"


def _faults(reached: Stand, dataset: str, counts: Numbers, *, live: bool) -> Iterator[str]:
    if not reached.streams[dataset].account.balanced():
        yield f"the account does not add up: {reached.streams[dataset].account}"
    if not counts["in"]:
        yield "nothing came in"
    if not live:
        for mine, theirs in (("messages", "acknowledged_messages"), ("in", "acknowledged")):
            if counts[mine] != counts[theirs]:
                yield f"{mine}: {counts[mine]} accounted for, {counts[theirs]} acknowledged by Kafka"
    expected = reached.expected.get(dataset, {})  # of regions nobody says beforehand how many there will be
    for outcome in _ON_PURPOSE:
        if outcome in expected and counts[outcome] != expected[outcome]:
            yield f"{outcome}: {counts[outcome]} counted, {expected[outcome]} sent on purpose"
    refused, wanted = counts["refused"], expected.get("refused", 0)
    if refused < wanted or (refused > wanted and not live):  # unknown sources go on sending in real time
        yield f"refused: {refused} counted, {wanted} sent on purpose"


def summary(content: Mapping[str, Mapping[str, Numbers]]) -> Iterator[str]:
    """The accounts city by city, a column for each stream."""
    for name, streams in content.items():
        yield f"  {name:22}" + "".join(f"{dataset.partition('.')[2]:>14}" for dataset in streams)
        for number in next(iter(streams.values())):
            label = number.replace("_", " ")
            yield f"  {label:22}" + "".join(f"{counts[number]:>14,}" for counts in streams.values())
        yield ""
