"""Cities side by side: released energy per person and day.

Definition. The day of a city is the 24 hours before the end of its newest published window of the metric. For each
window in it, the released amount of a class is divided by the people who live in the areas where that class was
released; these quotients are summed over the windows. So a suppressed area takes neither amount nor people into the
figure, and the figure speaks for the areas in which the rule let something out, `population_share` of the people. A
window in which nothing was released, or nothing published, adds nothing: `windows` says how many did, 24 in a whole day
of hours. It is a figure per inhabitant, not per customer of the class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from federation.wire import Catalog
from schemas.catalogue import Metric
from store.database import Connection
from store.partners import partner_totals, partners
from store.publication_log import WindowTotal, window_totals

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One city, metric and class. `per_person_per_day` is in `unit`, None if nothing was released.

    `cells_share` is the share of the lattice's cells that were released, `population_share` that of the people (both 0
    to 1, over the windows of the day). `windows` is the number of windows with anything released.
    """

    city: str
    metric: str
    class_: str
    unit: str
    per_person_per_day: float | None
    cells_share: float
    population_share: float
    windows: int


def compare(
    city: str, class_: str, unit: str, smallest_per_unit: int, totals: Sequence[WindowTotal]
) -> Comparison | None:
    """The figure of one class from the totals of one metric's windows; None if there is none of that class. Pure."""
    chosen = [total for total in totals if total.class_ == class_]
    if not chosen:
        return None
    peopled = [total for total in chosen if total.released and total.released_population]
    amount = sum((Fraction(total.value, total.released_population) for total in peopled), Fraction())
    return Comparison(
        city=city,
        metric=chosen[0].metric,
        class_=class_,
        unit=unit,
        per_person_per_day=float(amount / smallest_per_unit) if peopled else None,
        cells_share=_share(sum(total.released for total in chosen), sum(total.cells for total in chosen)),
        population_share=_share(
            sum(total.released_population for total in chosen), sum(total.population for total in chosen)
        ),
        windows=len(peopled),
    )


def comparisons(connection: Connection, own_city: str, metrics: Mapping[str, Metric]) -> list[Comparison]:
    """This city and every partner that was pulled, by metric, class and city (this one first).

    Cities that have published nothing of a metric are left out, and so are partners that show it in another unit.
    """
    catalogs = {one.city: Catalog.model_validate(one.catalog) for one in partners(connection)}
    rows: list[Comparison] = []
    for metric in metrics.values():
        own = window_totals(connection, metric.name, DAY_MS)
        found = [(own_city, metric.smallest_per_unit, own)]
        for city, catalog in catalogs.items():
            theirs = next((one for one in catalog.metrics if one.name == metric.name), None)
            if theirs is not None and theirs.unit == metric.unit:
                totals = partner_totals(connection, city, metric.name, DAY_MS)
                found.append((city, theirs.smallest_per_unit, totals))
        for class_ in metric.classes:
            row = (compare(city, class_, metric.unit, factor, totals) for city, factor, totals in found)
            rows.extend(one for one in row if one is not None)
    return rows


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
