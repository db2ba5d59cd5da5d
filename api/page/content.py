"""The content of a city's page, before it is put into words: facts and numbers, of one state of the database.

What may appear. The figures are those of `federation.compare`, made of released cells alone. The account counts
messages and readings of whole streams, over the whole city and since each began: nothing of an area, a class, a window
or a source, and no number of contributors (P2). Why something was dropped is told in fixed words, never in its own.
Names of past imports and addresses of partners are left out. Still the counts move when readings come in: in a stream
with very few sources, whoever watches the counts learns when these report. Like the whole API, the page is bound to
loopback (`api.binding`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from federation.city import CityFacts
from federation.compare import (
    Comparison,
    Measure,
    comparable,
    comparisons,
    measured,
    offered,
    partner_catalogs,
    whole_span,
)
from federation.wire import Catalog
from schemas.catalogue import Metric
from schemas.topics import dataset_of, live
from store.accounts import dead_letter_reasons, receptions, refusals_by_reason, topic_accounts
from store.database import Connection
from store.processing import Account

State = Literal["shown", "suppressed", "nobody-lives-there", "not-published", "not-received", "other-definition"]

OTHER = "other"
"""Counts every reason that is not one of the fixed words."""

_FIXED_WORD = re.compile(r"[a-z]{1,20}(-[a-z]{1,20}){0,4}")


@dataclass(frozen=True, slots=True)
class CityColumn:
    """A column of the comparison: this city, or a partner as its catalogue says."""

    id: str
    name: str
    names: Mapping[str, str]
    own: bool

    def called(self, language: str) -> str:
        """Its name in a language, or else the name that it has."""
        return self.names.get(language, self.name)


@dataclass(frozen=True, slots=True)
class Figure:
    """One city's figure of one class, or why there is none. `compared` is there if anything was published."""

    state: State
    compared: Comparison | None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of a metric: a figure of each city."""

    class_: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class MetricBlock:
    """One metric: how it is compared and over how many windows, its rows, and up to when each city has published it."""

    metric: Metric
    measure: Measure
    unit: str
    windows: int
    rows: Sequence[ClassRow]
    until: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class DatasetAccount:
    """One dataset's account. `history` sums the topics of all imports of past data: their names are the operator's."""

    dataset: str
    history: bool
    account: Account
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """What came from a partner, and when the last of it did."""

    city: CityColumn
    publications: int
    received_at: int | None


@dataclass(frozen=True, slots=True)
class PageContent:
    """All of the page. `refused` counts readings that ingest turned away before any stream, by reason."""

    cities: Sequence[CityColumn]
    blocks: Sequence[MetricBlock]
    streams: Sequence[DatasetAccount]
    refused: Mapping[str, int]
    partners: Sequence[PartnerRow]


def gather(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric]) -> PageContent:
    """Everything that the page of this city says, from one snapshot."""
    catalogs = partner_catalogs(connection)
    partners = {
        id_: CityColumn(id_, catalog.city.name, catalog.city.names, own=False) for id_, catalog in catalogs.items()
    }
    cities = [CityColumn(city.id, city.name, city.names, own=True), *partners.values()]
    found = {(row.metric, row.class_, row.city): row for row in comparisons(connection, city.id, metrics, catalogs)}
    return PageContent(
        cities=cities,
        blocks=[_block(metric, cities, catalogs, found) for metric in metrics.values()],
        streams=list(_streams(city.id, topic_accounts(connection), dead_letter_reasons(connection))),
        refused=fixed_words(refusals_by_reason(connection)),
        partners=[PartnerRow(partners[id_], *reception) for id_, reception in receptions(connection).items()],
    )


def fixed_words(reasons: Mapping[str, int]) -> Mapping[str, int]:
    """The same counts, the most frequent first; a reason that is not made of a few plain words is told as `other`.

    It might be anything, a name too.
    """
    counted: dict[str, int] = {}
    for reason, count in reasons.items():
        word = reason if _FIXED_WORD.fullmatch(reason) else OTHER
        counted[word] = counted.get(word, 0) + count
    return _most_first(counted)


def _most_first(counts: Mapping[str, int]) -> Mapping[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


Found = Mapping[tuple[str, str, str], Comparison]


def _block(metric: Metric, cities: Sequence[CityColumn], catalogs: Mapping[str, Catalog], found: Found) -> MetricBlock:
    rows = [
        ClassRow(class_, [_figure(metric, one, catalogs, found.get((metric.name, class_, one.id))) for one in cities])
        for class_ in metric.classes
    ]
    until = [
        max((row.until for (name, _, of), row in found.items() if (name, of) == (metric.name, one.id)), default=None)
        for one in cities
    ]
    measure, unit, _ = measured(metric)
    return MetricBlock(metric, measure, unit, whole_span(metric), rows, until)


def _figure(metric: Metric, city: CityColumn, catalogs: Mapping[str, Catalog], compared: Comparison | None) -> Figure:
    if compared is None:
        return Figure("not-published" if city.own else _absent(metric, catalogs[city.id]), None)
    if compared.figure is not None:
        return Figure("shown", compared)
    return Figure("nobody-lives-there" if compared.cells_share else "suppressed", compared)


def _absent(metric: Metric, catalog: Catalog) -> State:
    theirs = offered(catalog, metric)
    return "not-received" if theirs is None or comparable(metric, theirs) else "other-definition"


def _streams(
    city: str, accounts: Mapping[str, Account], reasons: Mapping[str, Mapping[str, int]]
) -> Iterator[DatasetAccount]:
    """Live streams by name, then those of past data; all topics of a dataset's history in one."""
    merged: dict[tuple[bool, str], DatasetAccount] = {}
    for topic, account in accounts.items():
        dataset = dataset_of(topic)
        history = topic != live(city, dataset)
        before = merged.get((history, dataset), DatasetAccount(dataset, history, Account(), {}))
        counts = dict(before.reasons)
        for reason, count in fixed_words(reasons.get(topic, {})).items():
            counts[reason] = counts.get(reason, 0) + count
        merged[history, dataset] = DatasetAccount(dataset, history, before.account + account, _most_first(counts))
    yield from (merged[key] for key in sorted(merged))
