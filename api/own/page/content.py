"""The content of a city's page, before it is put into words: facts and numbers, of one state of the database.

What may appear. The figures are those of `federation.compare`, made of released cells alone. The account counts
messages and readings of whole streams, over the whole city and since each began: nothing of an area, a class, a window
or a source, and no number of contributors (P2). Reasons of dead letters appear in fixed words, never in text from
outside. Names of past imports and addresses of partners are left out. Still the counts change when readings come in: in
a stream with very few sources, they reveal when these report. Like the whole API, the page is
bound to loopback (`api.own.binding`).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from api.own.figures import CityColumn, Figure, Figures, gather_figures
from federation.city import CityFacts
from federation.compare import Measure, measured, whole_span
from schemas.catalogue import Metric
from schemas.topics import dataset_of, is_live
from store.accounts import dead_letter_reasons, receptions, refusals_by_reason, topic_accounts
from store.arrivals import last_arrivals
from store.database import Connection
from store.processing import Account

OTHER = "other"
"""The word for every reason that does not look like a fixed word."""

_FIXED_WORD = re.compile(r"[a-z]{1,20}(-[a-z]{1,20}){0,4}")


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
class LiveDeliveries:
    """How many live sources have delivered; when the newest delivery came, and the last of the source that has been
    silent longest (ms since 1970, UTC). Their names stay out."""

    sources: int
    latest: int
    longest: int


@dataclass(frozen=True, slots=True)
class PageContent:
    """All of the page. `refused` counts readings that ingest refused before any stream, by reason.

    `deliveries` is None where no live source has delivered.
    """

    cities: Sequence[CityColumn]
    blocks: Sequence[MetricBlock]
    streams: Sequence[DatasetAccount]
    refused: Mapping[str, int]
    deliveries: LiveDeliveries | None
    partners: Sequence[PartnerRow]


def gather(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric], now_ms: int) -> PageContent:
    """The content of this city's page. `connection` is a snapshot, so that all of it is of one state."""
    figures = gather_figures(connection, city, metrics, now_ms)
    received = receptions(connection)
    return PageContent(
        cities=figures.cities,
        blocks=[_block(metric, figures) for metric in metrics.values()],
        streams=list(_streams(city.id, topic_accounts(connection), dead_letter_reasons(connection))),
        refused=fixed_words(refusals_by_reason(connection)),
        deliveries=_deliveries(last_arrivals(connection).values()),
        partners=[
            PartnerRow(column, *received.get(column.id, (0, None))) for column in figures.cities if not column.own
        ],
    )


def _deliveries(last: Collection[int]) -> LiveDeliveries | None:
    return LiveDeliveries(len(last), max(last), min(last)) if last else None


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


def _block(metric: Metric, figures: Figures) -> MetricBlock:
    rows = [
        ClassRow(class_, [figures.of[metric.name, class_, city.id] for city in figures.cities])
        for class_ in metric.classes
    ]
    measure, unit, _ = measured(metric)
    until = [_until(row.figures[number] for row in rows) for number in range(len(figures.cities))]
    return MetricBlock(metric, measure, unit, whole_span(metric), rows, until)


def _until(figures: Iterable[Figure]) -> int | None:
    return max((figure.compared.until for figure in figures if figure.compared is not None), default=None)


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
