"""What is published of measurements is what was measured, and what was verified is what must come out."""

import json
import re
from dataclasses import replace

import pytest

from benchmarks.readings import ZONE, CellAmounts, CellKey, Written, cut, energy, expected, steps, waste
from benchmarks.report import PAGE, PLACE, page_with, results
from benchmarks.result import RESULTS, MeasuredRun, MeasuredSystem, Measuring, ResultTable
from eventlog.memory import MemoryRecord
from ingest.batches import tick
from processors.reading_fold import ReadingFoldFactory
from schemas.catalogue import metrics_of
from store.processing import Position


def test_the_page_has_every_figure_of_the_results_and_no_other():
    page = PAGE.read_text(encoding="utf-8")
    assert page_with(page, results()) == page, "run `python -m benchmarks.report`"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_names_no_path_and_no_host(path):
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["benchmark"] == path.stem
    assert not re.search(r'"/|/tmp|/home|/root|127\.0\.0\.1|localhost', text)


def test_figures_are_the_medians_of_the_runs(tmp_path):
    measuring = Measuring("energy", "Energy", "reading", {"meters": 5})
    runs = [MeasuredRun(wall_s=3, cpu_s=2, peak_mb=100), MeasuredRun(4, 9, 300), MeasuredRun(1, 4, 200)]
    measuring.systems.append(MeasuredSystem("ours", 1_000_000, runs, "all of it"))
    measuring.tables.append(ResultTable.of("More", [{"what": "p99", "ms": 1234.5}]))
    measuring.write(tmp_path / "energy.json")
    found = results(tmp_path)
    [system] = found["energy"]["systems"]
    assert (system["cpu_ns"], system["per_cpu_second"], system["wall_s"], system["peak_mb"]) == (4000, 250_000, 3, 200)
    written = page_with("<!-- result: energy -->\nold\n<!-- end of result -->\n", found)
    assert "| ours | 4,000 | 250,000 | 1,000,000 | 3 | 200 | 3: 2,000 to 9,000 ns |" in written
    assert "| p99 | 1,234 |" in written and "old" not in written
    assert page_with(written, found) == written


def test_a_result_that_the_page_has_no_place_for_is_refused():
    with pytest.raises(ValueError, match="no place for energy"):
        page_with("<!-- result: waste -->\n<!-- end of result -->\n", {"energy": {}})


def test_every_place_of_the_page_is_that_of_a_program():
    names = [place["name"] for place in PLACE.finditer(PAGE.read_text(encoding="utf-8"))]
    assert len(names) == len(set(names))
    programs = {name: RESULTS.parent / name.partition("-")[0] for name in names}  # peers-batches is of peers
    assert [name for name, at in programs.items() if not (at.is_dir() or at.with_suffix(".py").is_file())] == []


@pytest.mark.parametrize(
    "stream",
    [
        energy(700, 6, partitions=1, areas=3),
        energy(90, 5, partitions=1, areas=2, rows=1),
        waste(300, 5, partitions=1, areas=2),
    ],
    ids=["batches", "single readings", "moments"],
)
def test_what_a_benchmark_expects_is_what_the_fold_makes_of_the_readings(stream):
    stream, written = replace(stream, twice=0.1), Written()
    records = [
        MemoryRecord(offset, 1_795_000_000_000, message.key, message.value)
        for offset, message in enumerate(m for readings in steps(stream, written) for m in cut(readings, stream.rows))
    ]
    records.append(MemoryRecord(len(records), 1_795_000_000_000, None, tick(stream.dataset, 1_794_000_000_000)))
    factory = ReadingFoldFactory({stream.topic: metrics_of(stream.dataset)}, ZONE)
    fold = factory.create(stream.topic, Position(), lambda first, until: frozenset(), gap=False)
    fold.feed(records)
    step = fold.step()
    cells = {
        CellKey(cell.window_start, cell.area, cell.class_): CellAmounts(cell.amounts.value, cell.amounts.readings)
        for cell in step.cells
    }
    assert cells == expected(stream, written)
    assert step.position.account.duplicate == written.twice > 0
