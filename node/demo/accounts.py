"""The accounts of the demo's streams, and whether each is as it must be."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from node.demo.cities import STREAMS, CityProgress, DemoCity

_COUNTED = ("aggregated", "duplicate", "late", "rejected", "dead", "open", "lost")
_ON_PURPOSE = ("duplicate", "late", "rejected", "dead")

Numbers = Mapping[str, int]


def accounts(partner: DemoCity, progress: CityProgress) -> Mapping[str, Numbers]:
    """The numbers of every stream of a city, by dataset, as demo.json holds them."""
    return {dataset: _account(dataset, partner, progress) for dataset in STREAMS}


def _account(dataset: str, partner: DemoCity, progress: CityProgress) -> Numbers:
    stream = progress.streams[dataset]
    counts = asdict(stream.account)
    return {
        "messages": counts["messages"],
        "in": counts["readings"],
        **{name: counts[name] for name in _COUNTED},
        "refused": progress.refused.get(dataset, 0),
        "acknowledged_messages": stream.acknowledged.messages,
        "acknowledged": stream.acknowledged.readings,
        "windows_closed": stream.windows,
        "publications_made": stream.publications,
        "publications_pulled": progress.pulled.get((partner.id, dataset), 0),
        "cells_released": stream.cells_released,
        "cells_suppressed": stream.cells_suppressed,
    }


def faults(progress: CityProgress, numbers: Mapping[str, Numbers], *, live: bool) -> Iterator[str]:
    """Every number that is not as it must be (R8), in words. `live`: the sources went on after their replay."""
    for dataset, counts in numbers.items():
        for fault in _faults(progress, dataset, counts, live=live):
            yield f"{dataset}: {fault}"


def _faults(progress: CityProgress, dataset: str, counts: Numbers, *, live: bool) -> Iterator[str]:
    if not progress.streams[dataset].account.balanced():
        yield f"the account does not add up: {progress.streams[dataset].account}"
    if not counts["in"]:
        yield "nothing came in"
    if not live:
        for mine, theirs in (("messages", "acknowledged_messages"), ("in", "acknowledged")):
            if counts[mine] != counts[theirs]:
                yield f"{mine}: {counts[mine]} accounted for, {counts[theirs]} acknowledged by Kafka"
    expected = progress.expected.get(dataset, {})  # the number of regions is not known beforehand
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
