"""Passes of what the plate network finds: right in drawn streets with known truth, and repeatable in real clips."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventlog.memory import MemoryRecord
from ingest.cameras.rendered import RenderedCamera, RenderedPlate
from ingest.cameras.sources import open_source
from processors.plates.jpeg_decoding import decode_picture
from processors.plates.network import NetworkDetector, card
from processors.reading_fold import ReadingFold
from processors.tracking.passes import TAIL_MS, Passes
from processors.traffic import FORMS
from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, ROW, TWO_LINES, encode
from schemas.catalogue import metrics_of
from schemas.registry import schema_named
from schemas.topics import REGIONS
from schemas.windows import Windows
from store.processing import Position
from tests.processors.films import passes_of_one, true_passes
from tests.soak import amount, soak, soak_only

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "streams" / "video"
QUARTER = 900_000
EDGE = 1_790_001_000_000 // QUARTER * QUARTER
RATES = amount([5], soak=[5, 15])
"""Pictures a second; the street is drawn at the last of them."""
FASTEST = RATES[-1]
SECONDS = amount(24, soak=40)
MAIN = {"IR": ONE_LINE, "VN": TWO_LINES}
SEEDS = amount((1,), soak=(1, 2))
MANY = amount(10, soak=40)
"""So many vehicles of one form pass at least in all streets."""
WORST = 0.05
CLIP_RATE = 5.0
DOUBTFUL = 0.1
"""A score far below what counts: what is there in real clips has no plates, but comes and goes as plates do."""


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A camera's pictures: the time of each, and its boxes."""

    start: tuple[int, ...]
    boxes: tuple[np.ndarray, ...]

    def take(self, which: Sequence[int]) -> "Film":
        """The pictures at these places, in that order."""
        return Film(tuple(self.start[number] for number in which), tuple(self.boxes[number] for number in which))

    def every(self, step: int) -> "Film":
        return self.take(range(0, len(self.start), step))

    def shuffled(self, seed: int) -> "Film":
        return self.take(np.random.default_rng(seed).permutation(len(self.start)).tolist())

    def without(self, share: float, seed: int) -> "Film":
        """The film without about this share of its pictures."""
        kept = np.random.default_rng(seed).random(len(self.start)) >= share
        return self.take(np.flatnonzero(kept).tolist())

    def certain(self) -> "Film":
        """The film with the boxes that count by the weights' card."""
        return Film(self.start, tuple(boxes[boxes["score"] >= card().threshold] for boxes in self.boxes))

    def passes(self, window_start: int | None = None) -> Passes:
        frame = np.repeat(np.arange(len(self.start)), [len(boxes) for boxes in self.boxes])
        boxes = np.concatenate([np.empty(0, REGION), *self.boxes])
        since = min(self.start) if window_start is None else window_start
        return passes_of_one(np.array(self.start, np.int64), frame, boxes, window_start=since)

    def windows(self, edges: Sequence[int]) -> list[Passes]:
        """The passes of each window, which sees the tail of the one before."""
        return [
            self.take([n for n, at in enumerate(self.start) if since - TAIL_MS <= at < until]).passes(since)
            for since, until in pairwise(edges)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Street:
    """A drawn street at the fastest rate: what the network finds, and where plates are in each picture."""

    country: str
    film: Film
    truth: tuple[list[RenderedPlate], ...]

    def true_passes(self, step: int) -> Counter[int]:
        """Of every so many of the pictures: see `tests.processors.films`."""
        return true_passes(list(zip(self.film.start, self.truth, strict=True))[::step])


def per_form(found: Passes) -> Counter[int]:
    return Counter(found.form.tolist())


def facts(*found: Passes) -> list[tuple[int, int, int]]:
    """Every pass: when it was seen first, its form, and in how many pictures it was seen."""
    columns = (zip(part.first.tolist(), part.form.tolist(), part.seen.tolist(), strict=True) for part in found)
    return sorted(row for rows in columns for row in rows)


def begun(*found: Passes) -> list[int]:
    """When each vehicle was seen first. A doubtful form may change with the boxes after the window's end."""
    return [row[0] for row in facts(*found)]


def firsts(*found: Passes) -> list[tuple[int, int]]:
    """As `facts`, without what a window can't know of a vehicle that stays in view beyond its end."""
    return [row[:2] for row in facts(*found)]


@pytest.fixture(scope="module")
def streets():
    """The edge of a quarter hour lies in the middle of each."""
    detector, found = NetworkDetector(), []
    for country in MAIN:
        for seed in SEEDS:
            camera, numbers = RenderedCamera(seed, country, rate=FASTEST), range(SECONDS * FASTEST)
            start = tuple(EDGE - SECONDS * 500 + round(1000 * number / FASTEST) for number in numbers)
            film = Film(start, tuple(detector.detect(camera.frame(number)) for number in numbers))
            found.append(Street(country, film, tuple(camera.truth(number) for number in numbers)))
    return found


@pytest.fixture(scope="module")
def clip():
    """What the network finds in a real clip, by its name: with all that is doubtful."""
    detector = NetworkDetector(DOUBTFUL)

    @lru_cache
    def look(name: str) -> Film:
        path = CLIPS / name
        if not path.exists():
            pytest.skip("the shared data does not lie beside this checkout (../shared/data)")
        source = open_source(path, CLIP_RATE)
        shots = list(source.shots(EDGE - source.length_ms // 2))
        boxes = tuple(detector.detect(decode_picture(shot.picture)) for shot in shots)
        return Film(tuple(shot.start_ms for shot in shots), boxes)

    return look


# Streets with known truth


@soak(minutes=1.5)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dropped", [0, 0.2])
def test_passes_are_right_per_form(streets, rate, dropped):
    """The truth is that of all pictures, also where some are dropped."""
    step = FASTEST // rate
    true, found, main = Counter(), Counter(), {}
    for seed, street in enumerate(streets):
        film = street.film.every(step)
        true += street.true_passes(step)
        here = per_form(film.without(dropped, seed).passes())
        found += here
        form = MAIN[street.country]
        so_far = main.get(form, (0, 0))
        main[form] = (so_far[0] + here[form], so_far[1] + street.true_passes(step)[form])
    for form in (ONE_LINE, TWO_LINES):
        assert main[form][1] >= MANY
        assert abs(main[form][0] - main[form][1]) <= WORST * main[form][1]
        assert abs(found[form] - true[form]) <= WORST * true[form]
    assert found[FORM_UNKNOWN] == 0


@soak
@pytest.mark.parametrize("rate", RATES)
def test_a_vehicle_that_crosses_a_windows_edge_counts_once(streets, rate):
    crossing = 0
    for street in streets:
        film = street.film.every(FASTEST // rate)
        edges = [EDGE - SECONDS * 500 + after for after in range(0, SECONDS * 1000 + 1, 4_000)]
        found = film.windows(edges)
        assert firsts(*found) == firsts(film.passes())
        crossing += sum(int((part.first < since).sum()) for since, part in zip(edges, found, strict=False))
        texts = [{p.text for _, plates in part for p in plates} for part in parts(street, edges)]
        assert sum(len(here & there) for here, there in pairwise(texts)) > amount(3, soak=8)  # some are on both sides
    assert crossing > 0  # some of them were certain only after it


def parts(street: Street, edges: Sequence[int]) -> list[list[tuple[int, list[RenderedPlate]]]]:
    pictures = list(zip(street.film.start, street.truth, strict=True))
    return [[picture for picture in pictures if since <= picture[0] < until] for since, until in pairwise(edges)]


# Real clips

both_clips = pytest.mark.parametrize(
    "name", ["opendatacam_frames_30fps.mp4", pytest.param("intel_car-detection.mp4", marks=soak_only)]
)


@both_clips
def test_a_real_clip_is_processed_to_its_end(clip, name):
    """No plate can be read in them; that one is found in most pictures would be a mistake."""
    film = clip(name).certain()
    assert len(film.start) > 80
    assert sum(len(boxes) > 0 for boxes in film.boxes) < 0.2 * len(film.start)
    assert len(film.passes()) <= 3


@both_clips
def test_a_real_clips_passes_hardly_change_without_a_fifth_of_the_pictures(clip, name):
    film = clip(name).certain()
    whole = per_form(film.passes())
    for seed in range(10):
        fewer = per_form(film.without(0.2, seed).passes())
        for form in FORMS:
            assert abs(fewer[form] - whole[form]) <= max(math.floor(WORST * whole[form]), 1)


@both_clips
@pytest.mark.parametrize("seed", range(3))
def test_a_real_clips_pictures_may_come_in_any_order_and_any_windows(clip, name, seed):
    film = clip(name)
    whole = film.passes()
    assert len(whole) > 10
    mixed = film.shuffled(seed)
    assert facts(mixed.passes()) == facts(whole)
    first, last = film.start[0], film.start[-1]
    cuts = np.random.default_rng(seed).integers(first + 1, last, 3).tolist()
    assert begun(*mixed.windows([first, *sorted(cuts), last + 1])) == begun(whole)


# Replay, and workers


def message(area: int, start: int, interval: int, rows: np.ndarray, boxes: np.ndarray) -> MemoryRecord:
    """As a detector sends it: one picture, or a tick without rows."""
    header: dict[str, Any] = {
        "metric": "traffic.regions",
        "area": area,
        "class_": "any",
        "interval": interval,
        "start": start,
    }
    body = encode(schema_named(f"{REGIONS}.v1").id, **header, rows=rows, regions=boxes)
    return MemoryRecord(0, EDGE + 10 * QUARTER, b"%d" % area, body)


TICK = message(1, EDGE + 10 * QUARTER, 200, np.empty(0, ROW), np.empty(0, REGION))
"""With it, all windows close."""


def sent(films: dict[int, Film], seed: int) -> list[MemoryRecord]:
    """The pictures of cameras by their numbers, each with an area of its own of the same number, in any order."""
    found = []
    for camera, film in films.items():
        interval = film.start[1] - film.start[0]
        for start, boxes in zip(film.start, film.boxes, strict=True):
            found.append(message(camera, start, interval, np.array([(camera, camera, 0, len(boxes), 1)], ROW), boxes))
    return [found[number] for number in np.random.default_rng(seed).permutation(len(found)).tolist()]


def cells(records: Sequence[MemoryRecord], polls: int) -> Counter[tuple[int, int, str]]:
    """The cells of a log that is read in so many polls: (window, area, form) -> passes."""
    metrics = metrics_of(REGIONS)
    windows = {metric.name: Windows("Asia/Tehran", metric.window) for metric in metrics}
    fold = ReadingFold(metrics, windows, Position())
    log = [replace(record, offset=offset) for offset, record in enumerate([*records, TICK])]
    for some in np.array_split(np.arange(len(log)), polls):
        fold.feed([log[offset] for offset in some.tolist()])
    step = fold.step()
    assert (step.position.account.aggregated, step.position.account.decoded) == (len(records), len(log))
    found = [cell for cell in step.cells if cell.metric == "traffic.passes" and cell.amounts.value]
    return Counter({(cell.window_start, cell.area, cell.class_): cell.amounts.value for cell in found})


def check_workers(films: dict[int, Film]) -> Counter[tuple[int, int, str]]:
    """One worker for all cameras, and one for each, count what the tracker finds in each camera's whole recording."""
    together = cells(sent(films, 1), polls=1)
    assert cells(sent(films, 2), polls=23) == together
    assert sum((cells(sent({camera: film}, 3), polls=7) for camera, film in films.items()), Counter()) == together
    assert summed(together, 1) == {(area,): len(film.passes()) for area, film in films.items() if len(film.passes())}
    return together


def summed(found: Counter[tuple[int, int, str]], *kept: int) -> Counter[tuple[int | str, ...]]:
    """Passes by these parts of (window, area, form)."""
    total: Counter[tuple[int | str, ...]] = Counter()
    for name, value in found.items():
        total[tuple(name[part] for part in kept)] += value
    return total


@soak
def test_streets_give_the_same_cells_in_any_order_and_from_any_split_over_workers(streets):
    films = {camera: street.film.every(FASTEST // RATES[0]) for camera, street in enumerate(streets, 1)}
    found = check_workers(films)
    assert summed(found, 1, 2) == Counter(
        (area, FORMS[form]) for area, film in films.items() for form in film.passes().form.tolist()
    )
    assert {window for window, _, _ in found} == {EDGE - QUARTER, EDGE}
    assert found.total() > 2 * MANY


@both_clips
def test_a_real_clip_gives_the_same_cells_in_any_order_and_from_any_split_over_workers(clip, name):
    found = check_workers({1: clip(name), 2: clip(name).every(2)})
    assert found.total() > 2 * 10
