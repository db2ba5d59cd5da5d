"""What a city takes of cores, memory and disk: arithmetic over constants that were measured. Pure.

The constants are in `sizing.toml`, which `python -m benchmarks.sizing` writes from the results of the benchmarks.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from schemas.catalogue import Metric, catalogue
from schemas.topics import DEFAULT_PARTITIONS, FRAMES, settings

CAMERA_RATE = 5.0
"""Pictures a second of a camera."""
PEOPLE_PER = {"meters": 3, "cameras": 1_500, "bins": 150}
"""Of the city of 15 million that the benchmarks measure: how many people there are for each of its sources."""
_REPORTS_S = {"meters": 900.0, "cameras": 1 / CAMERA_RATE, "bins": 3_600.0}
"""Seconds from one reading of a source to the next."""
_METRICS = {
    "meters": ("energy.import",),
    "cameras": ("traffic.regions", "traffic.passes"),
    "bins": ("waste.fill",),
}
_KEPT_YEARS = 3.0
"""How long `publish` keeps cells, unless `SISTERCITY_CELL_DAYS` says otherwise."""
_YEAR_S = 365.25 * 86_400


@dataclass(frozen=True, slots=True)
class CityAsked:
    """Sources by kind (`meters`, `cameras`, `bins`), areas of each metric, years that publications are kept, and
    copies of each message that Kafka keeps, bytes of open windows in the memory of a process."""

    sources: Mapping[str, int]
    areas: int = 24
    years: float = 3.0
    replicas: int = 3
    open_memory: int = 1 << 30


@dataclass(frozen=True, slots=True)
class StreamSize:
    """What one stream takes. `rate` in readings a second; `cores` busy all the time, of processing and of encoding and
    sending; memory and disk in bytes."""

    name: str
    rate: float
    cores: float
    ingest_cores: float
    memory: float
    log_disk: float
    database_disk: float


@dataclass(frozen=True, slots=True)
class CitySize:
    """What all of it takes. `detection_cores` only where pictures come to the node, with the disk of these pictures,
    `frames_disk`; `catching_up_s`: a day of readings with `processes`, each on a core of its own."""

    streams: Sequence[StreamSize]
    processes: int
    partitions: int
    memory: float
    catching_up_s: float
    detection_cores: float
    frames_disk: float


def constants() -> Mapping[str, Any]:
    """What was measured, as the package has it."""
    return tomllib.loads(files("node").joinpath("sizing.toml").read_text(encoding="utf-8"))


def sources_of(people: int) -> Mapping[str, int]:
    """As many sources as the largest city has for each person, rounded up."""
    return {name: math.ceil(people / each) for name, each in PEOPLE_PER.items()}


def size(asked: CityAsked, measured: Mapping[str, Any]) -> CitySize:
    """What a city takes. `measured` are the constants. Raises `ValueError` for a city without any source."""
    streams = [_stream(name, count, asked, measured) for name, count in asked.sources.items() if count]
    if not streams:
        raise ValueError("a city without sources takes nothing")
    busy = sum(stream.cores for stream in streams)
    processes = max(1, math.ceil(2 * busy))  # half of the time is left for catching up
    open_memory = min(sum(stream.memory for stream in streams), processes * asked.open_memory)
    pictures = asked.sources.get("cameras", 0) * CAMERA_RATE
    kept_s = int(settings(FRAMES)["retention.ms"]) / 1000
    return CitySize(
        streams=streams,
        processes=processes,
        partitions=max(DEFAULT_PARTITIONS, 2 ** math.ceil(math.log2(2 * processes))),
        memory=processes * measured["process"]["bytes"] + open_memory,
        catching_up_s=86_400 * busy / processes,
        detection_cores=pictures * measured["pictures"]["cpu_us"] / 1e6,
        frames_disk=pictures * measured["pictures"]["bytes"] * kept_s * asked.replicas,
    )


def _stream(name: str, count: int, asked: CityAsked, measured: Mapping[str, Any]) -> StreamSize:
    metrics = [catalogue()[metric] for metric in _METRICS[name]]
    of_stream, rate = measured[name], count / _REPORTS_S[name]
    open_s = (metrics[0].longest_window_ms + metrics[0].lateness_ms) / 1000 + _REPORTS_S[name]
    kept_s = int(settings(metrics[0].dataset)["retention.ms"]) / 1000
    return StreamSize(
        name=name,
        rate=rate,
        cores=rate * of_stream["cpu_us"] / 1e6,
        ingest_cores=rate * of_stream["ingest_us"] / 1e6,
        memory=rate * open_s * of_stream["open_bytes"],
        log_disk=rate * kept_s * of_stream["bytes"] * asked.replicas,
        database_disk=sum(_database(metric, asked, measured["database"]) for metric in metrics),
    )


def _database(metric: Metric, asked: CityAsked, row: Mapping[str, float]) -> float:
    """Bytes of a metric's cells, and of what is published of them, which is kept for good."""
    cells_a_year = _YEAR_S / (metric.longest_window_ms / 1000) * asked.areas * len(metric.classes)
    published = row["published_cell"] + row["publication"] if metric.published else 0.0
    return cells_a_year * (min(asked.years, _KEPT_YEARS) * row["cell"] + asked.years * published)


def described(asked: CityAsked, measured: Mapping[str, Any]) -> str:
    """What the city takes, as a table for people."""
    found = size(asked, measured)
    streams = found.streams
    rows: list[tuple[str, list[str]]] = [
        ("", [stream.name for stream in streams] + ["all"]),
        ("sources", [f"{asked.sources[stream.name]:,}" for stream in streams] + [""]),
        ("readings a second", [f"{stream.rate:,.1f}" for stream in streams] + [""]),
        ("cores, processing", _summed([stream.cores for stream in streams])),
        ("cores, ingest", _summed([stream.ingest_cores for stream in streams])),
        ("open windows, GB", _summed([stream.memory / 1e9 for stream in streams])),
        ("Kafka's disk, GB", _summed([stream.log_disk / 1e9 for stream in streams])),
        ("PostgreSQL's disk, GB", _summed([stream.database_disk / 1e9 for stream in streams])),
    ]
    table = [f"{label:<22}" + "".join(f"{cell:>13}" for cell in cells) for label, cells in rows]
    rest = [
        f"`process --workers {found.processes}`: so half of each core is free; a day is caught up in"
        f" {found.catching_up_s / 60:,.1f} minutes",
        f"memory of the processors {found.memory / 1e9:,.1f} GB, at most {asked.open_memory / 1e9:,.1f} GB of each for"
        " open windows; what is above goes to disk",
        f"partitions {found.partitions}; {asked.areas} areas, {asked.years:g} years, {asked.replicas} copies in Kafka",
    ]
    if found.detection_cores:
        rest.append(
            f"where the node itself looks for plates, {found.detection_cores:,.0f} more cores, and"
            f" {found.frames_disk / 1e9:,.0f} GB of pictures in Kafka; better beside the cameras"
        )
    return "\n".join(line.rstrip() for line in (*table, "", *rest))


def _summed(values: Sequence[float]) -> list[str]:
    return [f"{value:,.3f}" for value in (*values, sum(values))]
