"""A city made by hand, and a register in memory, for tests that need no database."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ingest.areas import drawn_for, partition
from ingest.cameras.simulated import SimulatedCameras
from ingest.cities import City, District
from ingest.register import Register
from ingest.simulated.rounds import Rounds
from ingest.simulated.sources import SimulatedSources
from schemas.catalogue import Metric, catalogue
from tests.ingest.registers import InMemorySources, Registered

END = 1_764_000_000_000 // 3_600_000 * 3_600_000
"""A full hour in November 2025, UTC."""
HOUR = 3_600_000
QUARTER = 900_000


def city(zone: str = "Asia/Tehran", districts: int = 6) -> City:
    """A row of districts A, B, C..., each beside the next."""
    names = [chr(ord("A") + index) for index in range(districts)]
    made = tuple(
        District(
            id=f"town-{name.lower()}",
            name=name,
            kind="district",
            population=1000 * (index + 1),
            population_quality="estimated",
            latitude=32.6,
            longitude=51.6,
            neighbours=tuple(
                f"town-{names[beside].lower()}" for beside in (index - 1, index + 1) if 0 <= beside < districts
            ),
        )
        for index, name in enumerate(names)
    )
    population = sum(district.population for district in made)
    return City("town", "Town", {"en": "Town"}, "IR", zone, 32.6, 51.6, population, ("made up",), made)


def registered(
    *sources: SimulatedSources | Rounds | SimulatedCameras, hidden: frozenset[str] = frozenset()
) -> Register:
    """A register of simulated sources without the `hidden` ids; numbers are in an order of their own."""
    return Register(_reader(*sources, hidden=hidden), lambda: END)


def changing(sources: SimulatedSources, change_ms: int) -> Register:
    """A register of simulated sources in which the number of every area is 500 higher from a time on."""
    read = _reader(sources)

    def changed(metric: Metric, time_ms: int) -> InMemorySources:
        before = read(metric, time_ms)
        if time_ms < change_ms:
            return replace(before, holds_until_ms=change_ms)
        rows = {source: replace(row, area=row.area + 500) for source, row in before.rows.items()}
        return InMemorySources(rows, holds_from_ms=change_ms)

    return Register(changed, lambda: END)


def _reader(
    *sources: SimulatedSources | Rounds | SimulatedCameras, hidden: frozenset[str] = frozenset()
) -> Callable[[Metric, int], InMemorySources]:
    rows = [row for each in sources for row in each.register() if row["source"] not in hidden]
    contributors = {name: number for number, name in enumerate(sorted({row["contributor"] for row in rows}))}

    def read(metric: Metric, time_ms: int) -> InMemorySources:
        del time_ms
        mine = sorted((row for row in rows if row["metric"] == metric.name), key=lambda row: row["source"].encode())
        area_of = _areas(sources[0].city, metric, mine)
        numbers = np.random.default_rng(3).permutation(len(mine)).tolist()
        return InMemorySources(
            {
                row["source"]: Registered(
                    number,
                    contributors[row["contributor"]],
                    area_of[row["district"]],
                    metric.classes.index(row["class"]),
                )
                for number, row in zip(numbers, mine, strict=True)
            }
        )

    return read


def _areas(city: City, metric: Metric, rows: list[dict[str, str]]) -> Mapping[str, int]:
    counts = Counter((row["district"], row["class"]) for row in rows)
    areas = partition(city, counts, drawn_for(metric))
    offset = 1 + 1000 * list(catalogue()).index(metric.name)
    return {district: number + offset for number, area in enumerate(areas) for district in area.districts}
