"""Cities side by side: each city's figure of each metric and class, or why there is none, for the page and the API.

All of it comes from this city's own database: what partners publish is read from the verified copies that are stored
there, so no partner is waited for, and no catalogue is parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from federation.city import CityFacts
from federation.compare import Comparison, comparable, comparisons
from schemas.catalogue import Metric
from store.database import Connection
from store.partner_figures import PartnerMetric, partner_cities, partner_metrics
from store.partner_standing import StandingWord, metric_standings, partner_standings

FigureState = Literal[
    "shown", "suppressed", "withdrawn", "nobody-lives-there", "not-published", "not-received", "other-definition"
]


@dataclass(frozen=True, slots=True)
class CityStatus:
    """How a city stands, or one metric of it, since when (ms since 1970, UTC), and why: a short, fixed word.

    This city's own figures are always fresh. `received_at` is when the last pull of a partner went well.
    """

    word: StandingWord
    since: int | None = None
    reason: str | None = None
    received_at: int | None = None


OWN = CityStatus("fresh")
NOT_AGREED = CityStatus("no-agreement")


@dataclass(frozen=True, slots=True)
class CityColumn:
    """A column of the comparison: this city, or a partner as in its catalogue."""

    id: str
    name: str
    names: Mapping[str, str]
    own: bool
    status: CityStatus

    def called(self, language: str) -> str:
        """Its name in a language, else its own name."""
        return self.names.get(language, self.name)


@dataclass(frozen=True, slots=True)
class Figure:
    """One city's figure of one class, or why there is none. `compared` is None if nothing was published.

    `status` is that of the city's metric.
    """

    state: FigureState
    compared: Comparison | None
    status: CityStatus


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of all cities, this city first; `of` has one for every metric, class and city (their ids)."""

    cities: Sequence[CityColumn]
    of: Mapping[tuple[str, str, str], Figure]


def gather_figures(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric], now_ms: int) -> Figures:
    """The newest figures of these metrics. `connection` is a snapshot, so that all of it is of one state."""
    cities = [CityColumn(city.id, city.name, city.names, own=True, status=OWN), *_partners(connection, now_ms)]
    received = {column.id: column.status.received_at for column in cities}
    standings = {
        (found.city, found.metric): CityStatus(found.standing, found.since, found.reason, received[found.city])
        for found in metric_standings(connection, now_ms)
    }
    definitions = partner_metrics(connection, metrics)
    compared = {(row.metric, row.class_, row.city): row for row in comparisons(connection, city.id, metrics)}
    return Figures(
        cities,
        {
            key: Figure(
                *_figure(metric, column, definitions.get((column.id, metric.name)), compared.get(key)),
                OWN if column.own else standings.get((column.id, metric.name), _not_agreed(column.status)),
            )
            for metric in metrics.values()
            for class_ in metric.classes
            for column in cities
            for key in [(metric.name, class_, column.id)]
        },
    )


def _not_agreed(partner: CityStatus) -> CityStatus:
    return replace(NOT_AGREED, received_at=partner.received_at)


def _partners(connection: Connection, now_ms: int) -> list[CityColumn]:
    """Every city with an agreement, and every one of which something was received, by id."""
    names = {found.id: found for found in partner_cities(connection)}
    standings = {found.city: found for found in partner_standings(connection, now_ms)}
    columns = []
    for id_ in sorted(names.keys() | standings.keys()):
        known, stands = names.get(id_), standings.get(id_)
        status = (
            NOT_AGREED
            if stands is None
            else CityStatus(stands.standing, stands.since, stands.reason, stands.received_at)
        )
        name, called = (id_, {}) if known is None else (known.name or id_, known.names)
        columns.append(CityColumn(id_, name, called, own=False, status=status))
    return columns


def _figure(
    metric: Metric, city: CityColumn, theirs: PartnerMetric | None, compared: Comparison | None
) -> tuple[FigureState, Comparison | None]:
    if compared is None:
        return "not-published" if city.own else _absent(metric, theirs), None
    if compared.figure is not None:
        return "shown", compared
    if compared.cells_share:
        return "nobody-lives-there", compared
    return "withdrawn" if compared.withdrawn else "suppressed", compared


def _absent(metric: Metric, theirs: PartnerMetric | None) -> FigureState:
    return "not-received" if theirs is None or comparable(metric, theirs) else "other-definition"
