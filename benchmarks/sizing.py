"""Write what `sistercity size` computes with, from the results of energy, mix, frames and backup, and docs/sizing.md.

python -m benchmarks.sizing            # node/sizing.toml and docs/sizing.md
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import markdown, results
from node.sizing import CityAsked, described, sources_of

ROOT = Path(__file__).parent.parent
CONSTANTS = ROOT / "node" / "sizing.toml"
PAGE = ROOT / "docs" / "sizing.md"
PLACE = re.compile(r"<!-- sizing: (?P<name>[a-z]+) -->\n(?P<content>.*?)<!-- end of sizing -->", re.DOTALL)
PEOPLE = (100_000, 1_500_000, 15_000_000)
_CLIENT = "kafka-python"
_STREAMS = ("meters", "cameras", "bins")
_SOURCES = ("energy", "mix", "frames", "backup")
_UNITS = {
    "cpu_us": "microseconds of processor time a reading, of processing",
    "ingest_us": "microseconds of processor time a reading, of encoding and sending; of cameras in that of a picture",
    "bytes": "bytes a reading in its message",
    "open_bytes": "bytes a reading in memory while its window is open",
    "process.bytes": "bytes of a processor with little in its windows",
    "pictures.cpu_us": "microseconds of processor time to find a picture's plates",
    "pictures.bytes": "bytes a picture",
    "database": "bytes a row with its indexes; a publication for each of its cells",
}


def measured(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The constants, from the results by name. Raises `KeyError` where one is missing."""
    mix, frames = found["mix"], found["frames"]
    systems = {system["name"]: system for name in _SOURCES for system in found[name]["systems"]}
    streams = _by_first(_table(mix, f"Cores that the whole city takes, {_CLIENT}"))
    ingest = _by_first(_table(mix, f"Encoding and sending, {_CLIENT}"))
    constants: dict[str, dict[str, float]] = {}
    for name in _STREAMS:
        constants[name] = {
            "cpu_us": streams[name]["CPU us a reading"],
            "ingest_us": ingest[name]["CPU us a reading"] if name in ingest else 0.0,
            "bytes": streams[name]["bytes a reading"],
            "open_bytes": streams[name]["bytes of it while open"],
        }
    # Five million sources in one process, not those of a partition alone.
    constants["meters"]["cpu_us"] = round(systems[f"sistercity, {_CLIENT}"]["cpu_ns"] / 1000, 4)
    picture = list(_by_first(_table(frames, "Processor time a picture, and of its parts")).values())[-1]
    constants["pictures"] = {"cpu_us": picture["detect, ms"] * 1000, "bytes": picture["bytes a picture"]}
    # Where little is open, most of the largest memory is the process itself.
    least = min(systems[f"{name}, {_CLIENT}"]["peak_mb"] for name in _STREAMS)
    constants["process"] = {"bytes": least * 1_000_000}
    rows = _by_first(_table(found["backup"], "Size and memory"))
    cells = rows["cells"]["how much"]
    constants["database"] = {
        "cell": rows["bytes a row, cells"]["how much"],
        "published_cell": rows["bytes a row, published_cells"]["how much"],
        "publication": round(
            rows["bytes a row, publications"]["how much"] * rows["publications"]["how much"] / cells, 1
        ),
    }
    return constants


def _table(result: Mapping[str, Any], title: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = next(table for table in result["tables"] if table["title"] == title)
    return table


def _by_first(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}


def as_toml(constants: Mapping[str, Mapping[str, float]]) -> str:
    """The file that the package has."""
    lines = ["# Written by `python -m benchmarks.sizing` from benchmarks/results; docs/sizing.md says what each is."]
    for name, values in constants.items():
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def page_with(page: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of sizes, with the constants and some cities in their places."""
    constants = measured(found)
    rows = [
        (f"{name}.{key}", value, _UNITS.get(f"{name}.{key}") or _UNITS.get(name) or _UNITS[key])
        for name, values in constants.items()
        for key, value in values.items()
    ]
    whence = [
        (f"{name}", found[name]["measured_at"], found[name]["commit"], found[name]["load"]["begun"])
        for name in _SOURCES
    ]
    contents = {
        "constants": markdown(["constant", "value", "what"], rows),
        "results": markdown(["result", "measured", "commit", "load at the beginning"], whence),
        "cities": "\n".join(_city(people, constants) for people in PEOPLE),
    }
    return PLACE.sub(
        lambda place: f"<!-- sizing: {place['name']} -->\n{contents[place['name']]}<!-- end of sizing -->", page
    )


def _city(people: int, constants: Mapping[str, Mapping[str, float]]) -> str:
    text = described(CityAsked(sources_of(people)), constants)
    return f"    sistercity size --people {people}\n\n```\n{text}\n```\n"


def main() -> None:
    """Write both files."""
    found = results()
    CONSTANTS.write_text(as_toml(measured(found)))
    PAGE.write_text(page_with(PAGE.read_text(), found))


if __name__ == "__main__":
    main()
