"""`sistercity plates`: find, blur and evaluate plate regions in files; nothing goes to Kafka.

Its commands for cameras' pictures are in `node.commands.debug_picture`.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.commands.debug_picture import picture, pictures
from node.picture_files import open_video, read_picture
from node.plate_detection import cover
from node.wiring import CommandError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from processors.plates.evaluation import Found, Labelled, Score

    Picture = NDArray[np.uint8]
    Look = Callable[[Picture], Found]

app = typer.Typer(help="Plate regions in pictures and videos; no plate is read.", no_args_is_help=True)

_COLUMNS = ("image", "x", "y", "w", "h", "score", "form")
_FORMS = ("unknown", "one-line", "two-lines")
_VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts", ".webm"})
_LEAST_SCORE = 0.01
"""From this score on detections are ranked for the average precision."""

Tiled = Annotated[bool, typer.Option(help="also look at the picture's own scale, for small far plates; slower")]


@app.command()
def detect(
    images: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option("--csv", metavar="OUT", help="where the regions are written")],
    threshold: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="least score; the card's by default")
    ] = None,
    tiled: Tiled = False,
) -> None:
    """Write the regions of pictures as image,x,y,w,h,score,form. A picture that can't be read is an error."""
    from processors.plates.network import NetworkDetector

    _one_thread()
    detector = NetworkDetector(threshold)
    look = detector.detect_tiled if tiled else detector.detect
    with out.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(_COLUMNS)
        for path in images:
            for x, y, w, h, score, form in look(read_picture(path)).tolist():
                table.writerow((path.name, x, y, w, h, f"{score:.4f}", _FORMS[form]))


@app.command()
def blur(
    source: Annotated[Path, typer.Argument(metavar="IN", exists=True, dir_okay=False, help="a picture or a video")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a new file; its ending says which format")],
    tiled: Tiled = False,
) -> None:
    """Blur the plates of a picture or a video. A video loses its sound.

    It covers more than the counting does: what is likely no plate is blurred, too. Some plates are still missed; how
    many stands in docs/plates.md.
    """
    if out.exists() and out.samefile(source):
        raise CommandError("OUT is the same file as IN")
    _one_thread()
    covered = cover(tiled=tiled)
    if source.suffix.lower() in _VIDEOS:
        _blur_video(source, out, lambda picture: covered(picture)[0])
    else:
        _write(out, covered(read_picture(source))[0])


@app.command("eval")
def evaluate(
    labels: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="image,x,y,w,h,kind; a row a plate")],
    ignore: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="regions that count neither way")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="default: images/ beside LABELS")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="least score; the card's by default")
    ] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="of this kind, only the images that never train")] = None,
    detector: Annotated[str, typer.Option(help="network, or haar: OpenCV's cascade, a baseline")] = "network",
    weights: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="another ONNX file")] = None,
    longest_side: Annotated[int, typer.Option(min=64, help="larger pictures are made as small as this")] = 960,
    tiled: Tiled = False,
) -> None:
    """Score a detector: average precision, precision, recall, coverage and time, by kind and over all.

    `covered` is the share of plates with at least 80 % of their area under regions, `false` the regions per picture
    that match no plate. Time is a picture's median on one thread, without decoding.
    """
    from processors.plates.evaluation import held_out as is_held_out
    from processors.plates.evaluation import read_labels
    from processors.plates.network import card

    if detector not in ("network", "haar"):
        raise CommandError(f"no detector is called {detector}: network or haar")
    _one_thread()
    truth = read_labels(labels, ignore)
    truth = {name: image for name, image in truth.items() if image.kind not in (held_out or ()) or is_held_out(name)}
    if not truth:
        raise CommandError("no picture is left to score")
    folder = images or labels.parent / "images"
    look = _haar() if detector == "haar" else _network(weights, longest_side, tiled)
    found, shapes, taken = _detect_all(look, folder, list(truth))
    least = card().threshold if threshold is None else threshold
    _table(f"from a score of {least:g}", truth, found, least)
    if detector == "network":
        margin, least = card().blur_margin, card().blur_threshold
        grown = {name: _grown(detections, margin, shapes[name]) for name, detections in found.items()}
        _table(f"blurring: from a score of {least:g}, covered when grown by {margin:.0%}", truth, found, least, grown)
    print(f"{sorted(taken)[len(taken) // 2] * 1e3:.1f} ms a picture on one thread (median)")


app.command()(picture)
app.command()(pictures)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _write(path: Path, picture: "Picture") -> None:
    import cv2

    try:
        done = cv2.imwrite(str(path), picture)
    except cv2.error:
        done = False
    if not done:
        raise CommandError(f"{path.name} can't be written; is its ending that of a picture?")


def _blur_video(source: Path, out: Path, covered: "Callable[[Picture], Picture]") -> None:
    import cv2

    reader = open_video(source)
    size = (int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)), int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    rate = reader.get(cv2.CAP_PROP_FPS)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise CommandError(f"{out.name} can't be written; .mp4, .mkv and .avi can")
    try:
        for frame in _frames(reader):
            writer.write(covered(frame))
    finally:
        reader.release()
        writer.release()


def _frames(reader: Any) -> "Iterator[Picture]":
    while True:
        read, frame = reader.read()
        if not read:
            return
        yield frame


def _network(weights: Path | None, longest_side: int, tiled: bool) -> "Look":
    from processors.plates.evaluation import Found
    from processors.plates.network import NetworkDetector

    detector = NetworkDetector(_LEAST_SCORE, longest_side, weights.read_bytes() if weights else None)
    find = detector.detect_tiled if tiled else detector.detect

    def look(picture: "Picture") -> Found:
        regions = find(picture)
        return Found(_boxes(regions), regions["score"].astype(float))

    return look


def _boxes(regions: "NDArray[np.void]") -> "NDArray[np.float64]":
    import numpy as np

    return np.stack([regions[name].astype(np.float64) for name in ("x", "y", "w", "h")], 1)


def _haar() -> "Look":
    """OpenCV's cascade for plates; its score is the level weight of the last stage, mapped to 0 to 1."""
    from importlib.resources import files

    import cv2
    import numpy as np

    from processors.plates.evaluation import Found

    cascade = cv2.CascadeClassifier(str(files("cv2") / "data" / "haarcascade_russian_plate_number.xml"))
    if cascade.empty():
        raise CommandError("this build of OpenCV brings no cascade for plates")

    def look(picture: "Picture") -> Found:
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        boxes, _, weights = cascade.detectMultiScale3(grey, 1.1, 3, outputRejectLevels=True)
        scores = 1 / (1 + np.exp(-np.asarray(weights, np.float64).ravel()))
        return Found(np.asarray(boxes, np.float64).reshape(-1, 4), scores)

    return look


def _detect_all(
    look: "Look", folder: Path, names: Sequence[str]
) -> "tuple[dict[str, Found], dict[str, tuple[int, ...]], list[float]]":
    """The detections in each picture, the pictures' shapes, and the seconds that each took."""
    found, shapes, taken = {}, {}, []
    for name in names:
        picture = read_picture(folder / name)
        begun = time.perf_counter()
        found[name] = look(picture)
        taken.append(time.perf_counter() - begun)
        shapes[name] = picture.shape
    return found, shapes, taken


def _grown(found: "Found", margin: float, shape: tuple[int, ...]) -> "Found":
    import numpy as np

    from processors.plates.blurring import grown
    from processors.plates.evaluation import Found
    from schemas.batch import REGION

    regions = np.zeros(len(found.boxes), REGION)
    for column, name in enumerate(("x", "y", "w", "h")):
        regions[name] = found.boxes[:, column]
    return Found(_boxes(grown(regions, margin, shape)), found.scores)


def _table(
    title: str,
    truth: "Mapping[str, Labelled]",
    found: "Mapping[str, Found]",
    threshold: float,
    covering: "Mapping[str, Found] | None" = None,
) -> None:
    from processors.plates.evaluation import macro, score, together

    kinds = score(truth, found, threshold, covering)
    print(title)
    print("kind        images  plates   AP50   AP30  precision  recall  covered  false")
    for figures in (*kinds, macro(kinds), together("all", truth, found, threshold, covering)):
        print(_line(figures))
    sys.stdout.flush()


def _line(score: "Score") -> str:
    return (
        f"{score.kind:<10}{score.images:>8}{score.plates:>8}{score.ap50:>7.3f}{score.ap30:>7.3f}"
        f"{score.precision:>11.3f}{score.recall:>8.3f}{score.covered:>9.3f}{score.false_per_image:>7.2f}"
    )
