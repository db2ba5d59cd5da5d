"""A city made by hand, and a register in memory, for tests that need no database."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from ingest.areas import partition
from ingest.cameras.simulated import SimulatedCameras
from ingest.cities import City, District
from ingest.simulated.rounds import Rounds
from ingest.simulated.sources import Sources
from schemas.catalogue import Metric, catalogue
from schemas.rules import minimum_contributors
from store.resolution import BEGINNING_MS, NEVER_MS, Resolved

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
    *sources: Sources | Rounds | SimulatedCameras, hidden: frozenset[str] = frozenset()
) -> Callable[[Metric, int], Resolved]:
    """What the register says of simulated sources, but for `hidden` ids; numbers are in an order of their own."""
    rows = [row for one in sources for row in one.register() if row["source"] not in hidden]
    contributors = {name: number for number, name in enumerate(sorted({row["contributor"] for row in rows}))}

    def resolve(metric: Metric, at_ms: int) -> Resolved:
        del at_ms
        mine = sorted((row for row in rows if row["metric"] == metric.name), key=lambda row: row["source"].encode())
        area_of = _areas(sources[0].city, metric, mine)
        return Resolved(
            ids=np.array([row["source"].encode() for row in mine], dtype=np.bytes_),
            number=np.random.default_rng(3).permutation(len(mine)).astype(np.uint32),
            contributor=np.array([contributors[row["contributor"]] for row in mine], np.uint32),
            area=np.array([area_of[row["district"]] for row in mine], np.int32),
            class_=np.array([metric.classes.index(row["class"]) for row in mine], np.uint8),
            holds_from_ms=BEGINNING_MS,
            holds_until_ms=NEVER_MS,
        )

    return resolve


def _areas(city: City, metric: Metric, rows: list[dict[str, str]]) -> Mapping[str, int]:
    counts = Counter((row["district"], row["class"]) for row in rows)
    minimums = {class_: minimum_contributors(metric.rule, class_) for class_ in metric.classes}
    areas = partition(city, counts, minimums)
    offset = 1 + 1000 * list(catalogue()).index(metric.name)
    return {district: number + offset for number, area in enumerate(areas) for district in area.districts}
