"""Vehicle passes in windows: a vehicle at a window's edge counts once, and a replay finds what was found."""

from typing import Any

import numpy as np
import pytest

from eventlog.memory import MemoryRecord
from processors import traffic
from processors.reading_fold import ReadingFold
from schemas.batch import REGION, ROW, encode
from schemas.catalogue import catalogue, current_name, metrics_of
from schemas.registry import schema_named
from schemas.topics import REGIONS
from schemas.windows import Windows
from store.processing import Position

QUARTER = 900_000
EDGE = 1_790_001_000_000 // QUARTER * QUARTER
STEP = 200
SCHEMA = schema_named(f"{REGIONS}.v1").id
ZONE = "Asia/Tehran"
LONG_AFTER = EDGE + 10 * QUARTER


START = Position()


def fold(position: Position = START) -> ReadingFold:
    metrics = metrics_of(REGIONS)
    return ReadingFold(metrics, {metric.name: Windows(ZONE, metric.window) for metric in metrics}, position)


class Street:
    """Pictures of cameras that see each vehicle for a while, moving evenly, as messages of one partition."""

    def __init__(self, *vehicles: tuple[int, int], seen_for: int = 2_000) -> None:
        """`vehicles`: when each comes into view, milliseconds after `EDGE`, and its form."""
        self.vehicles = vehicles
        self.seen_for = seen_for
        self.records: list[MemoryRecord] = []

    def look(self, *times: int, camera: int = 1, area: int = 1, metric: str = "traffic.regions") -> "Street":
        """Add a picture for each of these times, milliseconds after `EDGE`."""
        for after in times:
            boxes = [
                (100 + 200 * lane, 50 + (after - since) // 10, 60, 20, 0.9, form)
                for lane, (since, form) in enumerate(self.vehicles)
                if since <= after < since + self.seen_for
            ]
            regions = np.array(boxes, REGION)
            value = len(boxes) * catalogue()[current_name(metric)].smallest_per_unit
            rows = np.array([(camera, camera, 0, value, 1)], ROW)
            self._add(area, EDGE + after, rows, regions, metric)
        return self

    def tick(self, time: int) -> "Street":
        """Add a tick: the cameras' time has come so far."""
        self._add(1, time, np.empty(0, ROW), np.empty(0, REGION), "traffic.regions")
        return self

    def _add(self, area: int, start: int, rows: np.ndarray, regions: np.ndarray, metric: str) -> None:
        header: dict[str, Any] = {"metric": metric, "area": area, "class_": "any", "interval": STEP, "start": start}
        body = encode(SCHEMA, **header, rows=rows, regions=regions)
        self.records.append(MemoryRecord(len(self.records), LONG_AFTER, b"%d" % area, body))


def passes(*folds: ReadingFold) -> dict[tuple[int, int, str], int]:
    """The passes of the cells that come out: (window's start after `EDGE`, area, class) -> passes, none left out."""
    cells = [cell for subject in folds for cell in subject.step().cells if cell.metric == "traffic.passes"]
    return {
        (cell.window_start - EDGE, cell.area, cell.class_): cell.amounts.value for cell in cells if cell.amounts.value
    }


def folded(street: Street, *polls: int) -> ReadingFold:
    """All of a street's messages folded, in polls that end at these places."""
    subject = fold()
    for begin, end in zip((0, *polls), (*polls, len(street.records)), strict=True):
        subject.feed(street.records[begin:end])
    return subject


def test_a_vehicle_in_many_pictures_is_one_pass_of_its_form():
    street = Street((1_000, 1), (1_500, 2), (1_700, 2)).look(*range(0, 5_000, STEP)).tick(LONG_AFTER)
    assert passes(folded(street)) == {(0, 1, "one-line"): 1, (0, 1, "two-lines"): 2}


@pytest.mark.parametrize("enters", range(-2_400, 601, STEP))
def test_a_vehicle_at_a_windows_edge_counts_once_where_it_became_certain(enters):
    street = Street((enters, 1)).look(*range(-5_000, 5_000, STEP)).tick(LONG_AFTER)
    certain = enters + 2 * STEP  # with its third picture, which is also 300 ms after its first
    assert passes(folded(street)) == {(0 if certain >= 0 else -QUARTER, 1, "one-line"): 1}


def test_each_camera_is_followed_for_itself_and_its_contributor_counted():
    street = Street((1_000, 1)).look(*range(0, 4_000, STEP), camera=1)
    street.look(*range(0, 4_000, STEP), camera=2).look(*range(0, 4_000, STEP), camera=3, area=2).tick(LONG_AFTER)
    cells = [
        cell for cell in folded(street).step().cells if (cell.metric, cell.class_) == ("traffic.passes", "one-line")
    ]
    assert [(cell.area, cell.amounts.value, cell.amounts.contributors, cell.amounts.largest) for cell in cells] == [
        (1, 2, 2, 1),
        (2, 1, 1, 1),
    ]
    assert [(cell.amounts.readings, cell.amounts.covered_ms) for cell in cells] == [(40, 40 * STEP), (20, 20 * STEP)]


@pytest.mark.parametrize(("pictures", "boxes"), [(1, 1), (7, 5), (60, 20)])
def test_how_the_cameras_of_a_window_are_divided_does_not_show(pictures, boxes, monkeypatch):
    street = Street((1_000, 1), (1_400, 2), (-300, 1), (2_000, 1))
    for camera in range(1, 12):
        street.look(*range(-1_000 - 20 * camera, 5_000, STEP), camera=camera, area=1 + camera % 3)
    whole = folded(street.tick(LONG_AFTER)).step()
    monkeypatch.setattr(traffic, "_MOST_PICTURES", pictures)
    monkeypatch.setattr(traffic, "_MOST_BOXES", boxes)
    divided = folded(street).step()
    assert sum(cell.amounts.value for cell in whole.cells if cell.metric == "traffic.passes") == 4 * 11
    assert (divided.cells, divided.position) == (whole.cells, whole.position)


def test_every_class_has_a_cell_if_a_camera_sent_pictures_though_nothing_passed():
    street = Street().look(*range(0, 2_000, STEP)).tick(LONG_AFTER)
    cells = [cell for cell in folded(street).step().cells if cell.metric == "traffic.passes"]
    assert {(cell.class_, cell.amounts.value, cell.amounts.contributors) for cell in cells} == {
        (class_, 0, 0) for class_ in catalogue()["traffic.passes"].classes
    }


def test_a_camera_that_fell_silent_before_the_window_counts_for_nothing_in_it():
    street = Street((-1_000, 1)).look(*range(-3_000, 0, STEP), camera=1).look(0, STEP, camera=2).tick(LONG_AFTER)
    cells = [cell for cell in folded(street).step().cells if cell.metric == "traffic.passes"]
    assert {(cell.window_start - EDGE, cell.amounts.readings) for cell in cells} == {(-QUARTER, 15), (0, 2)}


@pytest.mark.parametrize("crash", range(1, 47, 2))
def test_after_a_crash_the_tail_before_an_open_window_is_read_again(crash):
    """The tail's own window has closed when the processor dies; the next one is open."""
    street = Street((-1_000, 1), (-200, 2)).look(*range(-5_000, 1_000, STEP))
    street.tick(EDGE + QUARTER).look(*range(1_000, 4_000, STEP)).tick(LONG_AFTER)
    whole = passes(folded(street))
    first = fold()
    first.feed(street.records[:crash])
    step = first.step()
    again = fold(step.position)
    again.feed(street.records[step.position.resume_offset :])
    before = {
        (cell.window_start - EDGE, cell.area, cell.class_): cell.amounts.value
        for cell in step.cells
        if cell.metric == "traffic.passes" and cell.amounts.value
    }
    assert before | passes(again) == whole
    assert sum(whole.values()) == 2


def test_a_picture_too_late_for_its_own_window_still_counts_in_the_tail_of_the_next():
    """Without it, the vehicle was out of sight for too long, and seems to come into view once more."""
    seen = (-3_400, -3_200, -3_000)
    street = Street((-3_400, 1), seen_for=4_000).look(*seen).tick(EDGE + QUARTER)
    late = Street((-3_400, 1), seen_for=4_000).look(*seen).tick(EDGE + QUARTER).look(-2_200, -1_400, -600)
    for view in (street, late):
        view.look(*range(0, 600, STEP)).tick(LONG_AFTER)
    assert passes(folded(street)) == {(-QUARTER, 1, "one-line"): 1, (0, 1, "one-line"): 1}
    assert passes(folded(late)) == {(-QUARTER, 1, "one-line"): 1}
    assert folded(late).step().position.account.late == 3


def test_occupancy_is_the_mean_over_cameras_of_the_mean_of_each_by_the_hour():
    street = Street((0, 1), (0, 1), (1_000, 2))
    street.look(0, 1_500, camera=1, metric="traffic.occupancy")  # 2 and 3 regions
    street.look(0, 100, 200, camera=2, metric="traffic.occupancy")  # 2, 2 and 2
    cells = [cell for cell in folded(street.tick(LONG_AFTER)).step().cells if cell.metric == "traffic.occupancy"]
    assert [(cell.amounts.value, cell.amounts.contributors, cell.amounts.readings) for cell in cells] == [(225, 2, 5)]
    assert (cells[0].amounts.largest, cells[0].amounts.absolute) == (600, 1_100)
    assert cells[0].window_end - cells[0].window_start == 4 * QUARTER


def test_messages_of_the_name_that_a_metric_had_before_are_read_under_its_own():
    street = Street((0, 1)).look(0, 100, metric="traffic.density").tick(LONG_AFTER)
    step = folded(street).step()
    assert [(cell.metric, cell.amounts.value) for cell in step.cells] == [("traffic.occupancy", 100)]
    assert step.position.account.dead == 0


@pytest.mark.parametrize(("rows", "value", "reason"), [(0, 1, None), (1, 1, None), (2, 1, "not-one-picture")])
def test_a_message_is_of_one_picture(rows, value, reason):
    street = Street()
    one = np.array([(1, 1, 0, value, 1)] * rows, ROW)
    street._add(1, EDGE, one, np.array([(1, 1, 9, 9, 0.5, 1)], REGION), "traffic.regions")
    assert [letter.reason for letter in folded(street).step().dead_letters] == ([reason] if reason else [])


def test_a_value_that_is_not_the_number_of_regions_is_a_dead_message():
    street = Street()
    street._add(1, EDGE, np.array([(1, 1, 0, 2, 1)], ROW), np.array([(1, 1, 9, 9, 0.5, 1)], REGION), "traffic.regions")
    assert [letter.reason for letter in folded(street).step().dead_letters] == ["regions-differ"]
