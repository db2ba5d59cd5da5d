"""Cities side by side: what was released, per person and day, or as a mean.

A metric that is a sum or a count is compared per person and day. For each window of the span, the released amount of a
class is divided by the population of the areas where that class was released; these quotients are summed over the
windows, and divided by the span's days. A suppressed area thus adds neither amount nor people, and the figure describes
the areas with a released cell, `population_share` of the people. A window without a released cell adds nothing:
`windows` is the number of those that add something, 24 in a whole day of hours. The figure is per inhabitant, not per
customer of the class.

A metric that is a mean is compared as a mean: that of the released cells' values over the windows of the span, each
weighted by the population of its area.

The span ends with the newest window that the city has published. Windows shorter than a day: those of the 24 hours
before that end, one day. Longer ones: the newest window alone, and its days are the local days that it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, log10
from typing import Literal

from schemas.catalogue import Metric
from store.database import Connection
from store.partner_figures import PartnerMetric, partner_metrics, partner_window_totals
from store.publication_log import WindowTotal, window_totals

DAY_MS = 86_400_000

Measure = Literal["per-person-per-day", "mean"]

_OF_ONE_PERSON: Mapping[str, tuple[str, int]] = {"t": ("kg", 1000)}
"""Units that are too large for one person's day: the unit to show instead, and how many of it the large unit is."""

_NEWEST_MS = 1
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """One city, metric and class. `figure` is in `unit`, per person and day or a mean, see `measure`.

    It is None if nothing was released, or nothing where people live. `cells_share` is the share of the lattice's cells
    that were released, `population_share` that of the people (both 0 to 1, over the windows of the span). `windows` is
    the number of windows with anything released, `withdrawn` of those that the city has taken back, `until` the end of
    the newest one published (ms since 1970, UTC).
    """

    city: str
    metric: str
    class_: str
    unit: str
    measure: Measure
    figure: float | None
    cells_share: float
    population_share: float
    windows: int
    until: int
    withdrawn: int = 0


def compare(
    city: str, class_: str, metric: Metric, smallest_per_unit: int, totals: Sequence[WindowTotal]
) -> Comparison | None:
    """The figure of one class from the totals of one metric's windows; None if there is none of that class. Pure.

    `smallest_per_unit` is the city's own: amounts in `totals` are whole numbers of its smallest unit.
    """
    chosen = [total for total in totals if total.class_ == class_]
    if not chosen:
        return None
    measure, unit, factor = measured(metric)
    populated = [total for total in chosen if total.released and total.released_population]
    amount = _mean(populated) if measure == "mean" else _per_person_per_day(metric, populated)
    return Comparison(
        city=city,
        metric=metric.name,
        class_=class_,
        unit=unit,
        measure=measure,
        figure=None if amount is None else float(amount * factor / smallest_per_unit),
        cells_share=_share(sum(total.released for total in chosen), sum(total.cells for total in chosen)),
        population_share=_share(
            sum(total.released_population for total in chosen), sum(total.population for total in chosen)
        ),
        windows=len(populated),
        until=max(total.window.end for total in chosen),
        withdrawn=sum(total.withdrawn > 0 for total in chosen),
    )


def comparisons(connection: Connection, own_city: str, metrics: Mapping[str, Metric]) -> list[Comparison]:
    """This city and every partner that was pulled, by metric, class and city (this city first).

    Cities that have published nothing of a metric are left out, and so are partners that define it differently.
    """
    definitions = partner_metrics(connection, metrics)
    rows: list[Comparison] = []
    for metric in metrics.values():
        span_ms = DAY_MS if _is_short(metric) else _NEWEST_MS
        offers = [(own_city, metric.smallest_per_unit, window_totals(connection, metric.name, span_ms))]
        for city, totals in partner_window_totals(connection, metric.name, metric.classes, span_ms).items():
            theirs = definitions.get((city, metric.name))  # None: it was stored between the two questions
            if theirs is not None and comparable(metric, theirs):
                offers.append((city, theirs.smallest_per_unit, totals))
        for class_ in metric.classes:
            row = (compare(city, class_, metric, factor, totals) for city, factor, totals in offers)
            rows.extend(comparison for comparison in row if comparison is not None)
    return rows


def comparable(metric: Metric, theirs: PartnerMetric) -> bool:
    """Whether both define the metric alike: unit, kind and window."""
    return (theirs.unit, theirs.kind, theirs.window) == (metric.unit, metric.kind, metric.window)


def whole_span(metric: Metric) -> int:
    """The number of windows in a span when none is missing."""
    return DAY_MS // metric.longest_window_ms if _is_short(metric) else 1


def measured(metric: Metric) -> tuple[Measure, str, int]:
    """How a metric is compared, in which unit, and how many of that unit are one of the metric's."""
    if not metric.adds_up:
        return "mean", metric.unit, 1
    return "per-person-per-day", *_OF_ONE_PERSON.get(metric.unit, (metric.unit, 1))


def decimals(figure: float) -> int:
    """The decimals with which a figure has at least three significant digits; its whole part is never rounded."""
    return 0 if figure == 0 else max(0, _DIGITS - 1 - floor(log10(abs(figure))))


def _mean(populated: Sequence[WindowTotal]) -> Fraction | None:
    people = sum(total.released_population for total in populated)
    return Fraction(sum(total.weighted for total in populated), people) if people else None


def _per_person_per_day(metric: Metric, populated: Sequence[WindowTotal]) -> Fraction | None:
    if not populated:
        return None
    amount = sum((Fraction(total.value, total.released_population) for total in populated), Fraction())
    return amount if _is_short(metric) else amount / max(_local_days(total) for total in populated)


def _local_days(total: WindowTotal) -> int:
    """The window's length in local days; a day in which clocks are moved is one day."""
    return max(1, round((total.window.end - total.window.start) / DAY_MS))


def _is_short(metric: Metric) -> bool:
    return metric.longest_window_ms < DAY_MS


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
