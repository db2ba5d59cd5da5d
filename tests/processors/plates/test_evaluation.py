"""The figures of a detector, on boxes made by hand and against a slow way to count."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.plates.evaluation import (
    FALSE,
    HIT,
    IGNORED,
    Boxes,
    Found,
    LabelError,
    Labelled,
    average_precision,
    covered_shares,
    held_out,
    iou,
    macro,
    outcomes,
    read_labels,
    score,
    together,
)

PLATES = [(10, 10, 40, 10), (100, 50, 60, 15), (200, 20, 30, 25)]


def boxes(*rows: tuple[float, ...]) -> Boxes:
    return np.array(rows, np.float64).reshape(-1, 4)


def found(*rows: tuple[float, ...]) -> Found:
    """Rows x, y, w, h, score."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4])


def labelled(*plates: tuple[float, ...], kind: str = "car", ignored: tuple[tuple[float, ...], ...] = ()) -> Labelled:
    return Labelled(kind, boxes(*plates), boxes(*ignored))


def test_a_perfect_detector_scores_one_everywhere() -> None:
    truth = {"a": labelled(*PLATES), "b": labelled()}
    seen = {"a": found(*[(*plate, 0.9) for plate in PLATES]), "b": found()}
    (figures,) = score(truth, seen, 0.5)
    shares = (figures.ap50, figures.ap30, figures.precision, figures.recall, figures.covered, figures.false_per_image)
    assert shares == (1, 1, 1, 1, 1, 0)
    assert (figures.images, figures.plates) == (2, 3)


def test_a_detector_that_finds_nothing_has_recall_0_and_no_precision() -> None:
    (figures,) = score({"a": labelled(*PLATES)}, {"a": found()}, 0.5)
    assert (figures.ap50, figures.ap30, figures.recall, figures.covered, figures.false_per_image) == (0, 0, 0, 0, 0)
    assert np.isnan(figures.precision)


def test_a_second_detection_of_a_plate_is_false() -> None:
    seen = found((10, 10, 40, 10, 0.8), (11, 10, 40, 10, 0.9))
    assert outcomes(seen, labelled(PLATES[0]), 0.5).tolist() == [FALSE, HIT]


def test_a_detection_on_an_ignored_region_is_not_counted() -> None:
    truth = labelled(PLATES[0], ignored=((100, 100, 40, 20),))
    half_inside, mostly_inside, elsewhere = (120, 100, 40, 20, 0.9), (110, 105, 20, 10, 0.8), (300, 300, 40, 10, 0.7)
    seen = found((*PLATES[0], 0.6), half_inside, mostly_inside, elsewhere)
    assert outcomes(seen, truth, 0.5).tolist() == [HIT, IGNORED, IGNORED, FALSE]
    (figures,) = score({"a": truth}, {"a": seen}, 0.5)
    assert (figures.precision, figures.recall, figures.false_per_image) == (0.5, 1, 1)


def test_a_plate_is_found_even_where_an_ignored_region_touches_it() -> None:
    truth = labelled(PLATES[0], ignored=(PLATES[0],))
    assert outcomes(found((*PLATES[0], 0.9)), truth, 0.5).tolist() == [HIT]


def test_a_loose_box_is_found_at_30_and_not_at_50() -> None:
    truth = {"a": labelled((0, 0, 40, 10))}
    (figures,) = score(truth, {"a": found((0, 0, 40, 25, 0.9))}, 0.5)
    assert (figures.ap50, figures.ap30, figures.recall, figures.covered, figures.false_per_image) == (0, 1, 0, 1, 0)


def test_average_precision_is_the_area_under_the_falling_envelope() -> None:
    """Hit, false, hit of two plates: precision 1 up to recall .5, then 2/3."""
    scores, results = np.array([0.9, 0.8, 0.7]), np.array([HIT, FALSE, HIT], np.int8)
    assert average_precision(scores, results, 2) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_detections_of_equal_score_count_together() -> None:
    scores = np.array([0.9, 0.9])
    either_way = {average_precision(scores, np.array(order, np.int8), 1) for order in ([HIT, FALSE], [FALSE, HIT])}
    assert either_way == {0.5}


def test_coverage_joins_regions_and_counts_no_area_twice() -> None:
    halves = boxes((0, 0, 25, 10), (20, 0, 30, 10))
    assert covered_shares(halves, boxes((0, 0, 40, 10))).tolist() == [1]
    assert covered_shares(boxes((0, 0, 25, 10), (0, 0, 25, 10)), boxes((0, 0, 40, 10))).tolist() == [0.625]


def test_grown_regions_cover_more_and_do_not_change_precision() -> None:
    truth, seen = {"a": labelled((10, 10, 40, 10))}, {"a": found((10, 10, 30, 10, 0.9), (90, 90, 9, 9, 0.2))}
    larger = {"a": found((8, 8, 42, 14, 0.9), (10, 10, 40, 10, 0.2))}
    (plain,), (blurring,) = score(truth, seen, 0.5), score(truth, seen, 0.5, larger)
    assert (plain.covered, blurring.covered) == (0, 1)
    assert (plain.recall, plain.false_per_image) == (blurring.recall, blurring.false_per_image) == (1, 0)


def test_macro_weights_kinds_equally_and_all_weights_plates() -> None:
    truth = {"a": labelled(*PLATES), "b": labelled(PLATES[0], kind="moto")}
    seen = {"a": found(*[(*plate, 0.9) for plate in PLATES]), "b": found()}
    assert macro(score(truth, seen, 0.5)).recall == 0.5
    assert together("all", truth, seen, 0.5).recall == 0.75


def test_a_kind_without_plates_does_not_affect_the_mean() -> None:
    truth = {"a": labelled(PLATES[0]), "b": labelled(kind="street")}
    seen = {"a": found((*PLATES[0], 0.9)), "b": found((0, 0, 9, 9, 0.9))}
    mean = macro(score(truth, seen, 0.5))
    assert (mean.ap50, mean.recall, mean.precision, mean.false_per_image) == (1, 1, 0.5, 0.5)


def test_labels_are_read_with_images_that_have_no_plate(tmp_path: Path) -> None:
    labels, ignored = tmp_path / "labels.csv", tmp_path / "ignore.csv"
    labels.write_text("image,x,y,w,h,kind\na.jpg,1,2,3,4,car\na.jpg,5,6,7,8,car\nb.jpg,,,,,moto\n")
    ignored.write_text("image,x,y,w,h,kind\na.jpg,9,9,9,9,car\n")
    truth = read_labels(labels, ignored)
    assert truth["a.jpg"].plates.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert truth["a.jpg"].ignored.tolist() == [[9, 9, 9, 9]]
    assert (truth["b.jpg"].kind, len(truth["b.jpg"].plates), len(truth["b.jpg"].ignored)) == ("moto", 0, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,x,y,w,kind\n", "no column h"),
        ("image,x,y,w,h,kind\na,1,2,x,4,car\n", "line 2"),
        ("image,x,y,w,h,kind\na,1,2,,4,car\n", "line 2"),
        ("image,x,y,w,h,kind\na,1,2,0,4,car\n", "a width and a height"),
        ("image,x,y,w,h,kind\na,1,2,nan,4,car\n", "a width and a height"),
        ("image,x,y,w,h,kind\na,1,2,3,4,car\na,1,2,3,4,moto\n", "line 3"),
        ("image,x,y,w,h,kind\na,1,2,3\n", "line 2"),
    ],
)
def test_an_error_in_labels_names_the_line(tmp_path: Path, table: str, said: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(table)
    with pytest.raises(LabelError, match=said):
        read_labels(labels)


def test_validation_is_known_by_the_name_alone() -> None:
    assert [name for name in map("{}.jpg".format, range(12)) if held_out(name)] == [
        "0.jpg",
        "1.jpg",
        "7.jpg",
        "9.jpg",
        "10.jpg",
        "11.jpg",
    ]


side = st.integers(1, 12)
box = st.tuples(st.integers(0, 20), st.integers(0, 20), side, side)
detection = st.tuples(st.integers(0, 20), st.integers(0, 20), side, side, st.sampled_from([0.2, 0.4, 0.6, 0.8]))


def pixels(region: tuple[float, ...]) -> set[tuple[int, int]]:
    x, y, w, h = (int(value) for value in region[:4])
    return {(column, row) for column in range(x, x + w) for row in range(y, y + h)}


def slow_iou(region: tuple[float, ...], plate: tuple[float, ...]) -> float:
    return len(pixels(region) & pixels(plate)) / len(pixels(region) | pixels(plate))


def slow_outcomes(
    seen: list[tuple[float, ...]], plates: list[tuple[float, ...]], ignored: list[tuple[float, ...]], least: float
) -> list[int]:
    """By sets of pixels, plate by plate."""
    results, taken = [FALSE] * len(seen), set()
    for index in sorted(range(len(seen)), key=lambda place: (-seen[place][4], place)):
        free = [(slow_iou(seen[index], plate), -place) for place, plate in enumerate(plates) if place not in taken]
        best = max(free, default=(0.0, 0))
        mine = pixels(seen[index])
        if best[0] >= least:
            taken.add(-best[1])
            results[index] = HIT
        elif any(slow_iou(seen[index], r) >= 0.3 or len(mine & pixels(r)) > len(mine) / 2 for r in ignored):
            results[index] = IGNORED
    return results


def slow_average_precision(scores: list[float], results: list[int], plates: int) -> float:
    """For every plate: the best precision of any threshold that finds at least as many."""
    points = []
    for threshold in set(scores):
        passed = [result for score, result in zip(scores, results, strict=True) if score >= threshold]
        hits, false = passed.count(HIT), passed.count(FALSE)
        points.append((hits, hits / (hits + false) if hits + false else 0.0))
    return (
        sum(max((p for hits, p in points if hits >= wanted), default=0.0) for wanted in range(1, plates + 1)) / plates
    )


@given(st.lists(detection, max_size=8), st.lists(box, max_size=4), st.lists(box, max_size=2))
def test_outcomes_and_precision_agree_with_counting_pixels(
    seen: list[tuple[float, ...]], plates: list[tuple[float, ...]], ignored: list[tuple[float, ...]]
) -> None:
    truth = labelled(*plates, ignored=tuple(ignored))
    for least in (0.5, 0.3):
        slow = slow_outcomes(seen, plates, ignored, least)
        fast = outcomes(found(*seen), truth, least)
        assert fast.tolist() == slow
        if plates:
            scores = [region[4] for region in seen]
            expected = slow_average_precision(scores, slow, len(plates))
            assert average_precision(np.array(scores), fast, len(plates)) == pytest.approx(expected)


@given(st.lists(box, max_size=4), st.lists(box, min_size=1, max_size=3))
def test_coverage_and_overlap_agree_with_counting_pixels(
    regions: list[tuple[float, ...]], plates: list[tuple[float, ...]]
) -> None:
    under: set[tuple[int, int]] = set().union(*map(pixels, regions))
    shares = [len(pixels(plate) & under) / len(pixels(plate)) for plate in plates]
    assert covered_shares(boxes(*regions), boxes(*plates)) == pytest.approx(shares)
    overlaps = [[slow_iou(region, plate) for plate in plates] for region in regions]
    assert np.allclose(iou(boxes(*regions), boxes(*plates)), np.array(overlaps).reshape(-1, len(plates)))
