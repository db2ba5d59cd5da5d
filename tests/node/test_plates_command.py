"""`sistercity plates`: regions as a table, pictures and videos blurred, figures of a detector."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from node.commands.plates import app
from node.wiring import CommandError
from processors.plates.evaluation import LabelError, held_out, iou
from tests.processors.plates.test_network import Picture, street, with_car, with_motorcycle

Scene = tuple[Path, Picture, list[tuple[int, int, int, int]]]


def run(*arguments: object) -> str:
    """What the command prints; its error is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A picture on disk, its pixels, and the boxes of its one-line and its two-line plate."""
    picture = street()
    boxes = [with_car(picture, 120, 250, 80), with_motorcycle(picture, 450, 240, 54)]
    path = tmp_path / "street.png"
    cv2.imwrite(str(path), picture)
    return path, picture, boxes


def detail(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> float:
    """How much the pixels inside a box differ from their neighbours."""
    x, y, w, h = box
    return float(np.abs(np.diff(picture[y : y + h, x : x + w].astype(float), axis=1)).mean())


def test_regions_are_written_as_a_table(tmp_path: Path, scene: Scene) -> None:
    path, _, boxes = scene
    empty = tmp_path / "empty.jpg"
    cv2.imwrite(str(empty), street())
    run("detect", path, empty, "--csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["image", "x", "y", "w", "h", "score", "form"]
    assert {row["image"] for row in rows} == {"street.png"}
    found = np.array([[float(row[name]) for name in ("x", "y", "w", "h")] for row in rows])
    best = iou(found, np.array(boxes, float))
    assert (best.max(0) > 0.5).all()
    assert [rows[int(row)]["form"] for row in best.argmax(0)] == ["one-line", "two-lines"]
    assert all(0 < float(row["score"]) <= 1 for row in rows)


def test_a_picture_comes_out_blurred(tmp_path: Path, scene: Scene) -> None:
    path, picture, boxes = scene
    run("blur", path, tmp_path / "out.png")
    out = np.asarray(cv2.imread(str(tmp_path / "out.png")), np.uint8)
    assert out.shape == picture.shape
    for box in boxes:
        assert detail(out, box) < detail(picture, box) / 4
    assert np.array_equal(out[:60], picture[:60])


def test_a_video_comes_out_blurred_frame_by_frame(tmp_path: Path, scene: Scene) -> None:
    _, picture, boxes = scene
    writer = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 384))
    for _ in range(4):
        writer.write(picture)
    writer.release()
    run("blur", tmp_path / "in.mp4", tmp_path / "out.mp4")
    reader, frames = cv2.VideoCapture(str(tmp_path / "out.mp4")), 0
    while True:
        read, frame = reader.read()
        if not read:
            break
        frames += 1
        for box in boxes:
            assert detail(np.asarray(frame, np.uint8), box) < detail(picture, box) / 3
    assert frames == 4


def test_files_that_can_not_be_read_or_written_are_errors(tmp_path: Path, scene: Scene) -> None:
    path = scene[0]
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(cv2.imencode(".jpg", scene[1])[1].tobytes()[:2000])
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(CommandError, match=r"text\.png is no picture"):
        run("blur", tmp_path / "text.png", tmp_path / "out.png")
    with pytest.raises(CommandError, match=r"cut\.jpg can't be read: cut"):
        run("blur", tmp_path / "cut.jpg", tmp_path / "out.png")
    with pytest.raises(CommandError, match=r"text\.mp4 is no video"):
        run("blur", tmp_path / "text.mp4", tmp_path / "out.mp4")
    with pytest.raises(CommandError, match=r"out\.xyz can't be written"):
        run("blur", path, tmp_path / "out.xyz")
    with pytest.raises(CommandError, match="same file"):
        run("blur", path, path)
    assert not (tmp_path / "out.png").exists()


def labelled(folder: Path, rows: list[str]) -> Path:
    (folder / "labels.csv").write_text("\n".join(["image,x,y,w,h,kind", *rows]) + "\n")
    return folder / "labels.csv"


def figures(output: str, kind: str) -> list[list[str]]:
    """A kind's line in each table: AP50, AP30, precision, recall, covered, false."""
    return [line.split()[3:] for line in output.splitlines() if line.split()[:1] == [kind]]


def test_a_detector_is_scored_by_kind(tmp_path: Path, scene: Scene) -> None:
    boxes = scene[2]
    cv2.imwrite(str(tmp_path / "road.png"), street())
    rows = [f"street.png,{x},{y},{w},{h},drawn" for x, y, w, h in boxes] + ["road.png,,,,,empty"]
    output = run("eval", labelled(tmp_path, rows), "--images", tmp_path)
    shipped, blurring = figures(output, "drawn")
    assert shipped[:4] == ["1.000", "1.000", "1.000", "1.000"]
    assert blurring[4] == "1.000"
    assert figures(output, "empty")[0][-1] == "0.00"
    assert "on one thread" in output


def test_ignored_regions_are_used(tmp_path: Path, scene: Scene) -> None:
    (x, y, w, h), (a, b, c, d) = scene[2]
    labels = labelled(tmp_path, [f"street.png,{x},{y},{w},{h},drawn"])
    (tmp_path / "ignore.csv").write_text(f"image,x,y,w,h,kind\nstreet.png,{a},{b},{c},{d},drawn\n")
    without = figures(run("eval", labels, "--images", tmp_path), "drawn")[0]
    with_it = figures(run("eval", labels, "--images", tmp_path, "--ignore", tmp_path / "ignore.csv"), "drawn")[0]
    assert (without[2], with_it[2]) == ("0.500", "1.000")


def test_the_cascade_of_opencv_is_a_baseline(tmp_path: Path, scene: Scene) -> None:
    x, y, w, h = scene[2][0]
    output = run(
        "eval", labelled(tmp_path, [f"street.png,{x},{y},{w},{h},drawn"]), "--images", tmp_path, "--detector", "haar"
    )
    assert len(figures(output, "drawn")) == 1


def test_invalid_arguments_are_errors(tmp_path: Path, scene: Scene) -> None:
    labels = labelled(tmp_path, ["street.png,1,2,0,4,drawn"])
    with pytest.raises(LabelError, match="line 2"):
        run("eval", labels, "--images", tmp_path)
    labels = labelled(tmp_path, ["street.png,1,2,3,4,drawn"])
    with pytest.raises(CommandError, match="no detector"):
        run("eval", labels, "--images", tmp_path, "--detector", "eagle")
    name = next(name for name in map("{}.png".format, range(9)) if not held_out(name))
    labels = labelled(tmp_path, [f"{name},1,2,3,4,drawn"])
    with pytest.raises(CommandError, match="no picture is left"):
        run("eval", labels, "--images", tmp_path, "--held-out", "drawn")
