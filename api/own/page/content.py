"""The content of a city's page, before it is put into words: facts and numbers, of one state of the database.

What may appear. The figures are those of `federation.compare`, made of released cells alone. The account counts
messages and readings of whole streams, over the whole city and since each began: nothing of an area, a class, a window
or a source, and no number of contributors (P2). Reasons of dead letters appear in fixed words, never in text from
outside. Names of past imports and addresses of partners are left out. Still the counts change when readings come in: in
a stream with very few sources, they reveal when these report. Like the whole API, the page is
bound to loopback (`api.own.binding`).
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
    whole_span,
)
from schemas.catalogue import Metric
from schemas.topics import dataset_of, is_live
from store.accounts import dead_letter_reasons, receptions, refusals_by_reason, topic_accounts
from store.database import Connection
from store.partner_figures import PartnerMetric, partner_cities, partner_metrics
from store.processing import Account

FigureState = Literal[
    "shown", "suppressed", "withdrawn", "nobody-lives-there", "not-published", "not-received", "other-definition"
]

OTHER = "other"
"""The word for every reason that does not look like a fixed word."""

_FIXED_WORD = re.compile(r"[a-z]{1,20}(-[a-z]{1,20}){0,4}")


@dataclass(frozen=True, slots=True)
class CityColumn:
    """A column of the comparison: this city, or a partner as in its catalogue."""

    id: str
    name: str
    names: Mapping[str, str]
    own: bool

    def called(self, language: str) -> str:
        """Its name in a language, else its own name."""
        return self.names.get(language, self.name)


@dataclass(frozen=True, slots=True)
class Figure:
    """One city's figure of one class, or why there is none. `compared` is None if nothing was published."""

    state: FigureState
    compared: Comparison | None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of a metric: a figure of each city."""

    class_: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class MetricBlock:
    """One metric: how it is compared, over how many windows, its rows, and the end of each city's newest window.

    `until` is in milliseconds since 1970, UTC; None for a city that has published nothing of the metric.
    """

    metric: Metric
    measure: Measure
    unit: str
    windows: int
    rows: Sequence[ClassRow]
    until: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class DatasetAccount:
    """One dataset's account. `history`: the sum of all imports of past data, whose names only the operator may see."""

    dataset: str
    history: bool
    account: Account
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """What was received from a partner; `received_at` is when the last of it was (ms since 1970, UTC)."""

    city: CityColumn
    publications: int
    received_at: int | None


@dataclass(frozen=True, slots=True)
class PageContent:
    """All of the page. `refused` counts readings that ingest refused before any stream, by reason."""

    cities: Sequence[CityColumn]
    blocks: Sequence[MetricBlock]
    streams: Sequence[DatasetAccount]
    refused: Mapping[str, int]
    partners: Sequence[PartnerRow]


def gather(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric]) -> PageContent:
    """The content of this city's page. `connection` is a snapshot, so that all of it is of one state."""
    partners = {
        found.id: CityColumn(found.id, found.name, found.names, own=False) for found in partner_cities(connection)
    }
    cities = [CityColumn(city.id, city.name, city.names, own=True), *partners.values()]
    definitions = partner_metrics(connection, metrics)
    compared = {(row.metric, row.class_, row.city): row for row in comparisons(connection, city.id, metrics)}
    return PageContent(
        cities=cities,
        blocks=[_block(metric, cities, definitions, compared) for metric in metrics.values()],
        streams=list(_streams(city.id, topic_accounts(connection), dead_letter_reasons(connection))),
        refused=fixed_words(refusals_by_reason(connection)),
        partners=[PartnerRow(partners[id_], *reception) for id_, reception in receptions(connection).items()],
    )


def fixed_words(reasons: Mapping[str, int]) -> Mapping[str, int]:
    """The same counts, the most frequent first. A reason that is not a few plain words counts as `other`.

    Such a reason could be any text, even a name.
    """
    counted: dict[str, int] = {}
    for reason, count in reasons.items():
        word = reason if _FIXED_WORD.fullmatch(reason) else OTHER
        counted[word] = counted.get(word, 0) + count
    return _most_first(counted)


def _most_first(counts: Mapping[str, int]) -> Mapping[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


_Comparisons = Mapping[tuple[str, str, str], Comparison]
_Definitions = Mapping[tuple[str, str], PartnerMetric]


def _block(
    metric: Metric, cities: Sequence[CityColumn], definitions: _Definitions, compared: _Comparisons
) -> MetricBlock:
    def figure(class_: str, city: CityColumn) -> Figure:
        return _figure(metric, city, definitions, compared.get((metric.name, class_, city.id)))

    def until(city: CityColumn) -> int | None:
        ends = (row.until for (name, _, of), row in compared.items() if (name, of) == (metric.name, city.id))
        return max(ends, default=None)

    rows = [ClassRow(class_, [figure(class_, city) for city in cities]) for class_ in metric.classes]
    measure, unit, _ = measured(metric)
    return MetricBlock(metric, measure, unit, whole_span(metric), rows, [until(city) for city in cities])


def _figure(metric: Metric, city: CityColumn, definitions: _Definitions, compared: Comparison | None) -> Figure:
    if compared is None:
        return Figure("not-published" if city.own else _absent(metric, definitions.get((city.id, metric.name))), None)
    if compared.figure is not None:
        return Figure("shown", compared)
    if compared.cells_share:
        return Figure("nobody-lives-there", compared)
    return Figure("withdrawn" if compared.withdrawn else "suppressed", compared)


def _absent(metric: Metric, theirs: PartnerMetric | None) -> FigureState:
    return "not-received" if theirs is None or comparable(metric, theirs) else "other-definition"


def _streams(
    city: str, accounts: Mapping[str, Account], reasons: Mapping[str, Mapping[str, int]]
) -> Iterator[DatasetAccount]:
    """Live streams by name, then those of past data; all topics of a dataset's history in one."""
    merged: dict[tuple[bool, str], DatasetAccount] = {}
    for topic, account in accounts.items():
        dataset = dataset_of(topic)
        history = not is_live(city, topic)
        before = merged.get((history, dataset), DatasetAccount(dataset, history, Account(), {}))
        counts = dict(before.reasons)
        for reason, count in fixed_words(reasons.get(topic, {})).items():
            counts[reason] = counts.get(reason, 0) + count
        merged[history, dataset] = DatasetAccount(dataset, history, before.account + account, _most_first(counts))
    yield from (merged[key] for key in sorted(merged))
