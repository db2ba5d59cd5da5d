"""Cities side by side: each city's figure of each metric and class, or why there is none, for the page and the API.

All of it comes from this city's own database: what partners publish is read from the verified copies that are stored
there, so no partner is waited for, and no catalogue is parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from federation.city import CityFacts
from federation.compare import Comparison, comparable, comparisons
from schemas.catalogue import Metric
from store.database import Connection
from store.partner_figures import PartnerMetric, partner_cities, partner_metrics

FigureState = Literal[
    "shown", "suppressed", "withdrawn", "nobody-lives-there", "not-published", "not-received", "other-definition"
]


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
class Figures:
    """The figures of all cities, this city first; `of` has one for every metric, class and city (their ids)."""

    cities: Sequence[CityColumn]
    of: Mapping[tuple[str, str, str], Figure]


def gather_figures(connection: Connection, city: CityFacts, metrics: Mapping[str, Metric]) -> Figures:
    """The newest figures of these metrics. `connection` is a snapshot, so that all of it is of one state."""
    partners = [CityColumn(found.id, found.name, found.names, own=False) for found in partner_cities(connection)]
    cities = [CityColumn(city.id, city.name, city.names, own=True), *partners]
    definitions = partner_metrics(connection, metrics)
    compared = {(row.metric, row.class_, row.city): row for row in comparisons(connection, city.id, metrics)}
    return Figures(
        cities,
        {
            key: _figure(metric, column, definitions.get((column.id, metric.name)), compared.get(key))
            for metric in metrics.values()
            for class_ in metric.classes
            for column in cities
            for key in [(metric.name, class_, column.id)]
        },
    )


def _figure(metric: Metric, city: CityColumn, theirs: PartnerMetric | None, compared: Comparison | None) -> Figure:
    if compared is None:
        return Figure("not-published" if city.own else _absent(metric, theirs), None)
    if compared.figure is not None:
        return Figure("shown", compared)
    if compared.cells_share:
        return Figure("nobody-lives-there", compared)
    return Figure("withdrawn" if compared.withdrawn else "suppressed", compared)


def _absent(metric: Metric, theirs: PartnerMetric | None) -> FigureState:
    return "not-received" if theirs is None or comparable(metric, theirs) else "other-definition"
