"""A vehicle is one pass, whatever the order, the rate and the gaps of the pictures that it is seen in."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras.rendered import RenderedCamera, RenderedPlate
from processors.tracking.passes import SIGHTINGS, TAIL_MS, Passes
from processors.tracking.tracks import REST_MS
from schemas.batch import FORM_UNKNOWN, ONE_LINE, REGION, TWO_LINES
from tests.processors.films import Film, passes_of_one, true_passes
from tests.soak import examples, soak_only

T0 = 1_760_000_000_000
FORMS = (ONE_LINE, TWO_LINES)
COUNTRIES = ("IR", "VN")
FASTEST = 15
SECONDS = 72
SEEDS = (1, 2, 3)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def arrays(film: Film, score: float = 0.6) -> Arrays:
    start = np.array([time for time, _ in film], np.int64)
    rows = [(number, plate) for number, (_, plates) in enumerate(film) for plate in plates]
    boxes = np.array([(p.x, p.y, p.w, p.h, score, p.form) for _, p in rows], REGION)
    return start, np.array([number for number, _ in rows], np.int64), boxes


def count(film: Film, window_start: int = T0) -> Passes:
    return passes_of_one(*arrays(film), window_start=window_start)


def per_form(found: Passes) -> Counter[int]:
    return Counter(found.form.tolist())


def drive(
    seconds: float,
    rate: float,
    *,
    at: tuple[float, float] = (300, 20),
    speed: tuple[float, float] = (10, 110),
    size: tuple[int, int] = (60, 15),
    form: int = ONE_LINE,
    begins: float = 0,
) -> Film:
    """A vehicle that moves evenly in the picture, in pixels a second."""
    times = np.arange(round(seconds * rate)) / rate
    return [
        (
            T0 + round(1000 * (begins + time)),
            [RenderedPlate(round(at[0] + speed[0] * time), round(at[1] + speed[1] * time), *size, form, "")],
        )
        for time in times.tolist()
    ]


def gathering(seconds: float, rate: float, gain: float, begins: float = 0) -> Film:
    """A vehicle that starts at the upper edge and is `gain` pixels further down after a second, four times that after
    two."""
    times = (np.arange(round(seconds * rate)) / rate).tolist()
    return [
        (T0 + round(1000 * (begins + time)), [RenderedPlate(300, round(20 + gain * time**2), 60, 15, ONE_LINE, "")])
        for time in times
    ]


def together(*films: Film) -> Film:
    pictures: dict[int, list[RenderedPlate]] = defaultdict(list)
    for film in films:
        for time, plates in film:
            pictures[time] += plates
    return sorted(pictures.items())


def without(film: Film, since: float, until: float) -> Film:
    """The film with nothing found in the pictures of these seconds."""
    return [(time, [] if since <= (time - T0) / 1000 < until else plates) for time, plates in film]


def dropped(film: Film, share: float, seed: int) -> Film:
    rng = np.random.default_rng(seed)
    return [picture for picture in film if rng.random() >= share]


def spoiled(film: Film, seed: int, *, missed: float = 0.1, false: float = 0.1, jitter: float = 1.5) -> Film:
    """The film as a detector finds it: plates missed, boxes a little off, wrong forms, false regions."""
    rng = np.random.default_rng(seed)
    pictures = []
    for time, plates in film:
        found = [_found(plate, rng, jitter) for plate in plates if rng.random() >= missed]
        found += [_nothing(rng) for _ in range(rng.poisson(false))]
        pictures.append((time, found))
    return pictures


def _found(plate: RenderedPlate, rng: np.random.Generator, jitter: float) -> RenderedPlate:
    dx, dy, dw, dh = (rng.normal(0, jitter, 4) * (1, 1, 1, 0.5)).tolist()
    form = plate.form if rng.random() < 0.93 else ONE_LINE + TWO_LINES - plate.form
    x, y = max(round(plate.x + dx), 0), max(round(plate.y + dy), 0)
    return RenderedPlate(x, y, max(round(plate.w + dw), 1), max(round(plate.h + dh), 1), form, "")


def _nothing(rng: np.random.Generator) -> RenderedPlate:
    width, flat = int(rng.integers(15, 90)), float(rng.choice([1.4, 4.4]))
    return RenderedPlate(int(rng.integers(0, 550)), int(rng.integers(0, 320)), width, round(width / flat), ONE_LINE, "")


@lru_cache
def filmed(seed: int, country: str) -> Film:
    """The truth of the fastest camera."""
    camera = RenderedCamera(seed, country, rate=FASTEST)
    return [(T0 + round(1000 * number / FASTEST), camera.truth(number)) for number in range(SECONDS * FASTEST)]


def street(seed: int, country: str, rate: int) -> Film:
    """A rendered camera's truth at about `rate` pictures a second: every so many of the fastest camera's pictures."""
    return filmed(seed, country)[:: FASTEST // rate]


def windows(film: Film, edges: Sequence[int]) -> Iterable[Passes]:
    """The passes of each window, which sees the tail of the one before."""
    for start, end in pairwise(edges):
        yield count([picture for picture in film if start - TAIL_MS <= picture[0] < end], start)


def facts(found: Iterable[Passes]) -> list[tuple[int, int]]:
    return sorted(pair for part in found for pair in zip(part.first.tolist(), part.form.tolist(), strict=True))


# What a pass is


@pytest.mark.parametrize("rate", [2, 5, 15, 30])
def test_a_vehicle_in_many_pictures_counts_once(rate):
    found = count(drive(4, rate))
    assert (found.first.tolist(), found.form.tolist(), found.seen.tolist()) == ([T0], [ONE_LINE], [4 * rate])


def test_two_sightings_are_no_pass_and_neither_is_a_moment():
    assert len(count(drive(0.4, 5))) == 0
    assert len(count(drive(0.3, 15))) == 0
    assert len(count(drive(0.6, 5))) == 1


def test_single_false_regions_are_no_passes():
    empty = [(T0 + 200 * number, ()) for number in range(900)]
    assert len(count(spoiled(empty, 1, false=0.2))) <= 1


@pytest.mark.parametrize("rate", [5, 15])
def test_a_vehicle_that_is_missed_for_a_second_is_the_same_one(rate):
    assert len(count(without(drive(4, rate), 1.5, 2.4))) == 1


@pytest.mark.parametrize("rate", [5, 15])
def test_a_vehicle_that_gathers_speed_while_hidden_is_the_same_one(rate):
    film = gathering(2.4, rate, 250)
    assert len(count(without(film, 1.0, 1.8))) == 1


def test_a_vehicle_that_follows_another_is_counted_too():
    second = drive(4, 5, begins=2.4)
    assert len(count(together(drive(4, 5), second))) == 2


@pytest.mark.parametrize("rate", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_vehicles_that_cross_each_other_are_two(rate, seed):
    right = drive(3, rate, at=(50, 160), speed=(120, 4), form=TWO_LINES, size=(40, 30))
    left = drive(3, rate, at=(410, 165), speed=(-120, 2), form=ONE_LINE, size=(44, 26))
    found = count(spoiled(together(right, left), seed, false=0, jitter=1))
    assert sorted(found.form.tolist()) == [ONE_LINE, TWO_LINES]
    assert found.seen.min() > 2 * rate


def test_a_parked_vehicle_is_one_pass_for_all_windows_though_it_is_hidden_and_missed():
    parked = drive(180, 5, speed=(0, 0))
    hidden = spoiled(without(parked, 50, 50 + REST_MS / 1000 - 0.5), 1, missed=0.4, false=0)
    edges = range(T0, T0 + 180_001, 20_000)
    assert [len(found) for found in windows(hidden, edges)] == [1] + 8 * [0]


def test_what_passes_a_hidden_vehicle_keeps_its_boxes():
    parked = drive(20, 5, speed=(0, 0), at=(300, 214))
    found = count(together(without(parked, 7, 11), gathering(2.4, 5, 60, begins=8)))
    assert found.seen.tolist() == [80, 12]


def test_a_box_that_a_better_one_covers_is_the_same_plate():
    film = drive(4, 5)
    start, frame, boxes = arrays(film)
    worse = boxes.copy()
    worse["score"], worse["form"], worse["w"] = 0.3, TWO_LINES, 50
    found = passes_of_one(start, np.r_[frame, frame], np.r_[boxes, worse], window_start=T0)
    assert (found.form.tolist(), found.seen.tolist()) == ([ONE_LINE], [20])


def test_a_line_taken_for_the_plate_now_and_then_is_no_other_vehicle():
    film = [
        (time, [replace(plate, h=2 * plate.h, form=TWO_LINES) if number % 2 else plate for plate in plates])
        for number, (time, plates) in enumerate(drive(4, 15))
    ]
    assert per_form(count(film)) == {ONE_LINE: 1}


# The vote on a form


@pytest.mark.parametrize(
    ("votes", "form"),
    [
        ([(ONE_LINE, 0.6), (ONE_LINE, 0.6), (TWO_LINES, 0.9)], ONE_LINE),
        ([(ONE_LINE, 0.3), (ONE_LINE, 0.3), (TWO_LINES, 0.9)], TWO_LINES),
        ([(ONE_LINE, 0.0), (TWO_LINES, 0.0), (TWO_LINES, 0.0)], TWO_LINES),
        ([(FORM_UNKNOWN, 0.9), (FORM_UNKNOWN, 0.9), (TWO_LINES, 0.5)], TWO_LINES),
        ([(FORM_UNKNOWN, 0.9), (ONE_LINE, 0.5), (TWO_LINES, 0.5)], FORM_UNKNOWN),
        ([(FORM_UNKNOWN, 0.9)] * 3, FORM_UNKNOWN),
        ([(ONE_LINE, math.nan), (ONE_LINE, math.nan), (TWO_LINES, 0.9)], TWO_LINES),
    ],
)
def test_the_form_is_that_of_most_boxes_weighted_by_score(votes, form):
    start, frame, boxes = arrays(drive(0.6, 5))
    boxes["form"], boxes["score"] = zip(*votes, strict=True)
    assert passes_of_one(start, frame, boxes, window_start=T0).form.tolist() == [form]


# Windows and their tails


@pytest.mark.parametrize("rate", [5, pytest.param(15, marks=soak_only)])
def test_windows_with_tails_count_what_the_whole_recording_has(rate):
    edges = [T0 + 1000 * second for second in (0, 11, 12, 30, 47, 52, SECONDS)]
    crossing = 0
    for country in COUNTRIES:
        film = spoiled(street(1, country, rate), 1)
        found = list(windows(film, edges))
        assert facts(found) == facts([count(film)])
        crossing += sum(int((part.first < start).sum()) for start, part in zip(edges, found, strict=False))
    assert crossing > 0


def test_a_vehicle_at_the_edge_belongs_to_the_window_that_can_be_certain_of_it():
    film = drive(4, 5)
    for pictures, before in ((1, 0), (2, 0), (3, 1), (10, 1)):
        edge = film[pictures][0]
        first, second = windows(film, (T0, edge, T0 + 60_000))
        assert (len(first), len(second)) == (before, 1 - before)
        assert (first if before else second).first.tolist() == [T0]


def test_pictures_before_the_tail_change_nothing():
    film = spoiled(street(1, "VN", 5), 1, missed=0.4, false=10)[: 50 * 5]
    edge = T0 + 40_000
    whole, tail = count(film, edge), count([picture for picture in film if picture[0] >= edge - TAIL_MS], edge)
    assert len(whole) > 20
    assert (facts([whole]), whole.seen.tolist()) == (facts([tail]), tail.seen.tolist())


# Streets with known truth


@pytest.mark.parametrize(("rate", "worst"), [(5, 0.05), (2, 0.1), pytest.param(15, 0.05, marks=soak_only)])
def test_passes_are_right_per_form_and_hardly_change_without_a_fifth_of_the_pictures(rate, worst):
    true, found, fewer = Counter(), Counter(), Counter()
    for country in COUNTRIES:
        for seed in SEEDS:
            film = street(seed, country, rate)
            seen = spoiled(film, seed)
            true += true_passes(film)
            found += per_form(count(seen))
            fewer += per_form(count(dropped(seen, 0.2, seed)))
    for form in FORMS:
        assert true[form] > 100
        assert abs(found[form] - true[form]) <= worst * true[form]
        assert abs(fewer[form] - found[form]) <= worst * found[form]
        assert found[FORM_UNKNOWN] + fewer[FORM_UNKNOWN] <= worst * true[form]


# Whatever comes


@lru_cache
def crossroads(seed: int) -> Arrays:
    """Fifteen seconds at five pictures a second with a bit of everything."""
    rng = np.random.default_rng(seed)
    films = [drive(15, 5, at=(500, 100), speed=(0, 0))]
    for _ in range(6):
        across, begins = rng.uniform(50, 500), rng.integers(0, 50) / 5
        films.append(drive(3, 5, at=(across, 10), speed=(rng.normal(0, 20), rng.uniform(60, 120)), begins=begins))
    return arrays(spoiled(together(*films), seed, false=0.3))


@lru_cache
def passes_of_crossroads(seed: int) -> Passes:
    """Those of the whole recording, which every example compares with."""
    return passes_of_one(*crossroads(seed), window_start=T0)


@examples(6, soak=300, minutes=1.5)
@given(st.integers(0, 4), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_pictures_and_boxes_does_not_matter(seed, random, twice):
    start, frame, boxes = crossroads(seed)
    pictures, rows = list(range(len(start))), list(range(len(frame)))
    random.shuffle(pictures)
    random.shuffle(rows)
    place = np.argsort(pictures)
    shuffled = [start[pictures], place[frame][rows], boxes[rows]]
    if twice:  # the same pictures again are the same pictures
        shuffled = [np.r_[shuffled[0], start], np.r_[shuffled[1], frame + len(start)], np.r_[shuffled[2], boxes]]
    one, other = passes_of_crossroads(seed), passes_of_one(*shuffled, window_start=T0)
    assert len(one) >= 5
    for column in ("first", "form", "seen"):
        assert getattr(one, column).tolist() == getattr(other, column).tolist()


@examples(6, soak=300, minutes=1.5)
@given(st.integers(0, 4), st.lists(st.integers(1, 15_000), max_size=4, unique=True))
def test_any_windows_with_tails_count_what_the_whole_recording_has(seed, cuts):
    start, frame, boxes = crossroads(seed)
    found = []
    edges = [T0, *(T0 + cut for cut in sorted(cuts)), T0 + 20_000]
    for begin, end in pairwise(edges):
        seen = np.flatnonzero((start >= begin - TAIL_MS) & (start < end))
        rows = np.isin(frame, seen)
        found.append(passes_of_one(start[seen], np.searchsorted(seen, frame[rows]), boxes[rows], window_start=begin))
    assert facts(found) == facts([passes_of_crossroads(seed)])


any_box = st.tuples(*[st.integers(0, 65_535)] * 4, st.floats(width=32), st.integers(0, 255))


@examples(15, soak=1_000)
@given(st.lists(st.tuples(st.integers(0, 3_000), st.lists(any_box, max_size=6)), max_size=12), st.integers(0, 4_000))
def test_whatever_boxes_there_are_no_more_passes_come_out_than_sightings_allow(pictures, window_start):
    start = np.array([time for time, _ in pictures], np.int64)
    frame = np.repeat(np.arange(len(pictures)), [len(boxes) for _, boxes in pictures])
    boxes = np.array([box for _, boxes in pictures for box in boxes], REGION)
    found = passes_of_one(start, frame, boxes, window_start=window_start)
    assert SIGHTINGS * len(found) <= found.seen.sum() <= len(boxes)
    assert set(found.form.tolist()) <= {FORM_UNKNOWN, *FORMS}
    assert sorted(found.first.tolist()) == found.first.tolist()


def test_a_picture_full_of_boxes_costs_no_more_than_its_best():
    rng = np.random.default_rng(1)
    start, frame = T0 + 200 * np.arange(20), np.repeat(np.arange(20), 10_000)
    boxes = np.zeros(len(frame), REGION)
    for name, most in (("x", 4000), ("y", 2000), ("w", 60), ("h", 20)):
        boxes[name] = rng.integers(1, most, len(boxes))
    vehicle = np.zeros(20, REGION)
    vehicle["x"], vehicle["w"], vehicle["h"], vehicle["score"] = 100 + 10 * np.arange(20), 60, 15, 0.9
    found = passes_of_one(start, np.r_[frame, np.arange(20)], np.r_[boxes, vehicle], window_start=T0)
    assert 20 in found.seen.tolist()
    assert found.seen.sum() <= 20 * 100


def test_arrays_that_do_not_fit_together_are_an_error():
    start, frame, boxes = arrays(drive(1, 5))
    with pytest.raises(ValueError, match="dtype"):
        passes_of_one(start, frame, boxes["x"], window_start=T0)
    with pytest.raises(ValueError, match="boxes"):
        passes_of_one(start, frame[1:], boxes, window_start=T0)
    for wrong in (-1, len(start)):
        with pytest.raises(ValueError, match="none of the 5"):
            passes_of_one(start, np.full(len(frame), wrong), boxes, window_start=T0)
