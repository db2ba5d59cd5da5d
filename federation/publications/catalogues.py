"""The catalogue of a metric, which each of its entries names by hash: definition, rule, areas.

What a value means can't be changed afterwards, nor told to one partner otherwise than to another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from federation.disclosure.rules import rule_in_force
from federation.publications.entries import FORMAT, digest
from federation.strict_json import dumps
from federation.wire import rfc3339
from schemas.catalogue import Metric
from store.catalogues import save_catalogue
from store.database import Connection
from store.publication_log import PublishedArea, published_areas

Json = dict[str, Any]


class CatalogueKeeper:
    """Keeps the catalogues of metrics in the database before an entry names them. Areas are read once, when needed.

    `zone` is the city's time zone, which the windows follow.
    """

    def __init__(self, connection: Connection, zone: str) -> None:
        self._connection = connection
        self._zone = zone
        self._areas: Mapping[str, Sequence[PublishedArea]] | None = None
        self._kept: dict[str, str] = {}

    def keep(self, metric: Metric) -> str:
        """The SHA-256 of the metric's catalogue, as lower-case hex, once it is in the database."""
        if metric.name not in self._kept:
            if self._areas is None:
                self._areas = published_areas(self._connection)
            content = catalogue_bytes(metric, self._areas.get(metric.registered_as, ()), self._zone)
            hash_ = digest(content)
            save_catalogue(self._connection, hash_, metric.name, content)
            self._kept[metric.name] = hash_
        return self._kept[metric.name]


def catalogue_bytes(metric: Metric, areas: Sequence[PublishedArea], zone: str) -> bytes:
    """`federation.wire.MetricCatalogue` in one line: the same bytes wherever the facts are the same."""
    return dumps({"format": FORMAT, **metric_facts(metric, areas, zone)})


def metric_facts(metric: Metric, areas: Sequence[PublishedArea], zone: str) -> Json:
    """`federation.wire.MetricFacts`; the areas in the order of their numbers and times."""
    return {
        "name": metric.name,
        "title": metric.title,
        "definition": metric.definition,
        "dataset": metric.dataset,
        "unit": metric.unit,
        "smallest_unit": metric.smallest_unit,
        "smallest_per_unit": metric.smallest_per_unit,
        "base": metric.base,
        "kind": metric.kind,
        "contributor": metric.contributor,
        "classes": list(metric.classes),
        "window": metric.window,
        "zone": zone,
        "lateness_seconds": metric.lateness_ms // 1000,
        "rule": _rule(metric),
        "areas": [
            {
                "number": area.number,
                "name": area.name,
                "population": area.population,
                "valid_from": rfc3339(area.valid_from),
            }
            for area in sorted(areas, key=lambda area: (area.number, area.valid_from))
        ],
    }


def _rule(metric: Metric) -> Json:
    rule = rule_in_force(metric)
    return {
        "id": rule.id,
        "words": rule.words,
        "source": rule.source,
        "thresholds": [
            {
                "class": class_,
                "minimum": needed.contributors,
                "dominance_percent": needed.dominance,
                "minimum_of_largest": needed.largest,
            }
            for class_ in metric.classes
            for needed in (rule.of_class(class_),)
        ],
    }
