"""Write the figures of docs/benchmarks.md from the results in benchmarks/results/: no figure there is typed by hand.

    python -m benchmarks.report            # every result's tables and plots; needs the extra [bench] for plots
    python -m benchmarks.report --check    # only says whether the page's tables are those of the results

The page is prose with a marked place for each result: what stands between `<!-- result: NAME -->` and
`<!-- end of result -->` is replaced.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
IMAGES = "images/benchmarks"
PLACE = re.compile(r"<!-- result: (?P<name>[a-z0-9-]+) -->\n(?P<content>.*?)<!-- end of result -->", re.DOTALL)
_MISSING = "Not measured yet.\n"


def results(folder: Path = RESULTS) -> Mapping[str, Mapping[str, Any]]:
    """Every result, by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def page_with(page: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with each result in its place.

    Raises `ValueError` for a result that has no place.
    """
    homeless = found.keys() - {place["name"] for place in PLACE.finditer(page)}
    if homeless:
        raise ValueError(f"the page has no place for {', '.join(sorted(homeless))}")

    def filled(place: re.Match[str]) -> str:
        name = place["name"]
        content = section(name, found[name]) if name in found else _MISSING
        return f"<!-- result: {name} -->\n{content}<!-- end of result -->"

    return PLACE.sub(filled, page)


def section(name: str, result: Mapping[str, Any]) -> str:
    """The tables and plots of a result as Markdown, and what they were measured with."""
    parts = []
    if result["systems"]:
        parts.append(_systems(result["systems"], result["unit"]))
    parts += [f"{table['title']}:\n\n{markdown(table['columns'], table['rows'])}" for table in result["tables"]]
    for number, curve in _drawn(result):
        parts.append(f"![{curve['title']}]({IMAGES}/{name}-{number}.png)\n")
    return "\n".join([*parts, _circumstances(result)])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; numbers with their thousands apart."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(_text, line))} |\n" for line in lines)


def _systems(systems: Sequence[Mapping[str, Any]], unit: str) -> str:
    columns = ["system", f"CPU ns a {unit}", f"{unit}s a CPU-second", f"{unit}s", "wall, s", "memory, MB", "runs"]
    rows = [
        [s["name"], s["cpu_ns"], s["per_cpu_second"], s["count"], s["wall_s"], s["peak_mb"] or "", _spread(s)]
        for s in systems
    ]
    remarks: dict[str, list[str]] = {}
    for system in systems:
        stated = [f"{name} {_text(value)}" for name, value in system["stated"].items()]
        left_out = [f"it leaves out {system['leaves_out']}"] if system["leaves_out"] else []
        remarks.setdefault("; ".join([system["verified"], *left_out, *stated]), []).append(system["name"])
    said = "".join(f"* **{'; '.join(names)}**: {remark}.\n" for remark, names in remarks.items())
    return markdown(columns, rows) + "\n" + said


def _spread(system: Mapping[str, Any]) -> str:
    """How many runs there were, with the least and the most of their nanoseconds."""
    each = [run["cpu_s"] * 1e9 / system["count"] for run in system["runs"]]
    return f"{len(each)}: {_text(round(min(each)))} to {_text(round(max(each)))} ns"


def _circumstances(result: Mapping[str, Any]) -> str:
    machine, load = result["machine"], result["load"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    settings = result["settings"] if result["seed"] is None else {**result["settings"], "seed": result["seed"]}
    chosen = "; ".join(f"{name}: {_text(value)}" for name, value in settings.items())
    return (
        f"Measured {result['measured_at']} at commit {result['commit'] or 'unknown'}, in {_text(result['took_s'])} s;"
        f" load {load['begun']} at the beginning, {load['ended']} at the end. {machine['processor']},"
        f" {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}; {versions}. Settings: {chosen}.\n"
    )


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 1000):
        return f"{value:,.0f}"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _drawn(result: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The curves that have points, with their numbers."""
    for number, curve in enumerate(result["curves"], 1):
        if any(curve["series"].values()):
            yield number, curve


def plot(name: str, result: Mapping[str, Any], folder: Path) -> None:
    """Draw the curves of a result as PNG files. Ends the program without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        sys.exit("plots need matplotlib: .venv/bin/python -m pip install --require-hashes -r requirements/bench.txt")
    folder.mkdir(parents=True, exist_ok=True)
    for number, curve in _drawn(result):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for label, points in curve["series"].items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
        xs = [x for points in curve["series"].values() for x, _ in points]
        if min(xs) > 0 and max(xs) / min(xs) >= 8:
            axes.set_xscale("log")
            axes.set_xticks(sorted(set(xs)), [f"{x:,.0f}" for x in sorted(set(xs))], minor=False)
            axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel(curve["x"])
        axes.set_ylabel(curve["y"])
        axes.set_title(curve["title"])
        axes.grid(alpha=0.3)
        if len(curve["series"]) > 1:
            axes.legend()
        figure.savefig(folder / f"{name}-{number}.png", dpi=120, metadata={"Software": None})


def main() -> None:
    """Write the page, or check it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    found, page = results(), PAGE.read_text()
    written = page_with(page, found)
    if chosen.check:
        sys.exit(None if written == page else f"{PAGE.name} is not what benchmarks/results says")
    for name, result in found.items():
        plot(name, result, PAGE.parent / IMAGES)
    PAGE.write_text(written)


if __name__ == "__main__":
    main()
