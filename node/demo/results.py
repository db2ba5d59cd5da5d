"""The cities of the demo side by side."""

from collections.abc import Iterator, Mapping, Sequence

from federation.compare import Comparison, decimals


def table(rows: Sequence[Comparison], cities: Sequence[str]) -> Iterator[str]:
    """The comparison per person and day, or as a mean where it says so; suppressed is said in so many words."""
    by_city = {(row.metric, row.class_, row.city): row for row in rows}
    means = {row.metric for row in rows if row.measure == "mean"}
    yield f"  {'per person and day':32}" + "".join(f"{name:>30}" for name in cities)
    for metric, class_ in dict.fromkeys((row.metric, row.class_) for row in rows):
        label = f"{metric}, {class_}" + (", mean" if metric in means else "")
        figures = (_figure(by_city.get((metric, class_, name))) for name in cities)
        yield f"  {label:32}" + "".join(f"{figure:>30}" for figure in figures)


def refused(asked: str, answers: Mapping[str, str]) -> Iterator[str]:
    """What a city got that has no agreement with the city that it asked."""
    yield f"  hue has no agreement; {asked} answers"
    for request, answer in answers.items():
        yield f"  {request:32}{answer:>30}"


def _figure(row: Comparison | None) -> str:
    if row is None:
        return "nothing published"
    if row.figure is None:
        return "withdrawn" if row.withdrawn else "suppressed"
    return f"{row.figure:,.{decimals(row.figure)}f} {row.unit} ({row.population_share:.0%} shown)"
