"""Training examples: changed windows of real pictures, and drawn scenes."""

import cv2
import numpy as np

from training.clutter import clutter, stamp
from training.degrade import as_camera
from training.layout import Boxes
from training.pasting import paste
from training.pictures import Example, TrainingPictures
from training.plates import ONE_LINE, TWO_LINES, draw_plate
from training.scenes import drawn_scene, surface
from training.shapes import Picture

_LONGEST_SIDE = 640
_VISIBLE = 0.55
_LARGEST_ZOOM = 3.5

_REAL = 0.62
_REPLACED = 0.45
_BALANCED = 0.6


def example(rng: np.random.Generator, pictures: TrainingPictures, size: int) -> Example:
    """One square example, `size` pixels wide and high."""
    if rng.random() < _REAL:
        made = _real(rng, pictures, size)
    else:
        picture = _background(rng, pictures, size)
        made = Example(picture, drawn_scene(rng, picture), np.empty((0, 4)))
    if rng.random() < 0.15:
        stamp(rng, made.picture)
    return Example(as_camera(rng, made.picture), *_seen(made, size))


def _seen(made: Example, size: int) -> tuple[Boxes, Boxes]:
    """Boxes clipped to the picture; plates of which too little is visible become ignored regions."""
    plates, visible = _clipped(made.plates, size)
    ignored, any_left = _clipped(made.ignored, size)
    enough = visible >= _VISIBLE
    return plates[enough], np.concatenate((ignored[any_left > 0], plates[~enough & (visible > 0)][:, :4]))


def _clipped(boxes: Boxes, size: int) -> tuple[Boxes, Boxes]:
    begin = np.clip(boxes[:, :2], 0, size)
    sides = np.clip(boxes[:, :2] + boxes[:, 2:4], 0, size) - begin
    share = sides.prod(1) / np.maximum(boxes[:, 2:4].prod(1), 1e-9)
    return np.concatenate((begin, sides, boxes[:, 4:]), 1), share


def _real(rng: np.random.Generator, pictures: TrainingPictures, size: int) -> Example:
    made = _window(rng, _drawn(rng, pictures), size)
    if rng.random() < 0.5:
        made = _mirrored(made, size)
    plates = made.plates
    if rng.random() < _REPLACED:
        plates = np.array([_replaced(rng, made.picture, plate) for plate in plates]).reshape(-1, 5)
    if rng.random() < 0.35:
        _clutter_around(rng, made.picture, np.concatenate((plates[:, :4], made.ignored)))
    if rng.random() < 0.2:
        plates = _with_another(rng, made.picture, plates)
    return Example(made.picture, plates, made.ignored)


def _drawn(rng: np.random.Generator, pictures: TrainingPictures) -> Example:
    """A random picture; its colour cast is often removed, so that the network does not learn a dashcam's."""
    original = pictures.examples[int(rng.choice(len(pictures.examples), p=pictures.chances))]
    if rng.random() > _BALANCED:
        return original
    means = original.picture[::8, ::8].reshape(-1, 3).mean(0)
    aim = max(float(means.mean()), 10.0) * (1 if rng.random() < 0.5 else float(rng.uniform(1.0, 2.2)))
    gains = np.clip(aim / np.maximum(means, 4), 0.3, 4)
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)[:, None]
    return Example(
        np.asarray(cv2.LUT(original.picture, np.ascontiguousarray(table.transpose(1, 0, 2)))),
        original.plates,
        original.ignored,
    )


def _window(rng: np.random.Generator, original: Example, size: int) -> Example:
    """A square window at any zoom, mostly with a plate in it."""
    height, width = original.picture.shape[:2]
    usual = _LONGEST_SIDE / max(height, width)
    zoom = usual * float(np.exp(rng.uniform(np.log(0.6), np.log(2.3))))
    chosen = (
        original.plates[int(rng.integers(len(original.plates)))]
        if len(original.plates) and rng.random() < 0.85
        else None
    )
    if chosen is None:
        centre = rng.uniform(0, 1, 2) * [width, height]
    else:
        if rng.random() < 0.35:
            zoom = float(np.exp(rng.uniform(np.log(24), np.log(0.8 * size)))) / float(chosen[2])
            zoom = float(np.clip(zoom, 0.3 * usual, _LARGEST_ZOOM * usual))
        centre = chosen[:2] + chosen[2:4] / 2 + rng.uniform(-0.42, 0.42, 2) * size / zoom
    stretch = np.exp(rng.normal(0, 0.06, 2))
    sx, sy = float(zoom * stretch[0]), float(zoom * stretch[1])
    return _scaled(rng, original, (sx, sy), (float(centre[0]), float(centre[1])), size)


def _scaled(
    rng: np.random.Generator, original: Example, zoom: tuple[float, float], centre: tuple[float, float], size: int
) -> Example:
    (sx, sy), (cx, cy) = zoom, centre
    source, shrunk = original.picture, 1.0
    while min(sx, sy) / shrunk < 0.6:
        source, shrunk = np.asarray(cv2.pyrDown(source), np.uint8), shrunk / 2
    matrix = np.array([[sx / shrunk, 0, size / 2 - cx * sx], [0, sy / shrunk, size / 2 - cy * sy]])
    ink = rng.integers(0, 256, 3).tolist() if rng.random() < 0.3 else [0, 0, 0]
    picture = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=ink)
    place, shift = np.array([sx, sy, sx, sy]), np.array([size / 2 - cx * sx, size / 2 - cy * sy, 0, 0])
    plates = np.concatenate((original.plates[:, :4] * place + shift, original.plates[:, 4:]), 1)
    return Example(np.asarray(picture, np.uint8), plates, original.ignored * place + shift)


def _mirrored(original: Example, size: int) -> Example:
    plates, ignored = original.plates.copy(), original.ignored.copy()
    for boxes in (plates, ignored):
        boxes[:, 0] = size - boxes[:, 0] - boxes[:, 2]
    return Example(np.ascontiguousarray(original.picture[:, ::-1]), plates, ignored)


def _replaced(rng: np.random.Generator, picture: Picture, plate: Boxes) -> Boxes:
    """Cover a real plate with a drawn one of any country; returns the new box and form."""
    x, y, w, h, form = plate.tolist()
    if w < 14:
        return plate
    left, top = max(round(x), 0), max(round(y), 0)
    under = picture[top : max(round(y + h), 0), left : max(round(x + w), 0)]
    light = 0.8 if not under.size else float(np.percentile(under, 80)) / 235
    same = ONE_LINE if form == ONE_LINE else TWO_LINES
    new = draw_plate(rng, same if rng.random() < 0.6 else None)
    aspect = new.picture.shape[1] / new.picture.shape[0]
    wide = max(w, h * aspect) * float(rng.uniform(1.04, 1.3))
    return paste(rng, picture, new, x + w / 2, y + h / 2, wide, 0.08, light * float(rng.uniform(0.85, 1.25)))


def _clutter_around(rng: np.random.Generator, picture: Picture, keep: Boxes) -> None:
    """Draw clutter, but not over these boxes."""
    before = picture.copy()
    clutter(rng, picture, int(rng.integers(1, 6)))
    height, width = picture.shape[:2]
    for x, y, w, h in keep:
        left, right = (int(np.clip(v, 0, width)) for v in (x - 0.3 * w, x + 1.3 * w))
        top, bottom = (int(np.clip(v, 0, height)) for v in (y - 0.3 * h, y + 1.3 * h))
        picture[top:bottom, left:right] = before[top:bottom, left:right]


def _with_another(rng: np.random.Generator, picture: Picture, plates: Boxes) -> Boxes:
    """One more plate, unless it would cover another."""
    size = picture.shape[0]
    w = float(np.exp(rng.uniform(np.log(18), np.log(size / 2))))
    x, y = (float(v) for v in rng.uniform(0.1, 0.9, 2) * size)
    near = np.abs(plates[:, :2] + plates[:, 2:4] / 2 - [x, y]) < (plates[:, 2:4] + w) * 0.75 + 4
    if near.all(1).any():
        return plates
    return np.concatenate((plates, paste(rng, picture, draw_plate(rng), x, y, w)[None]))


def _background(rng: np.random.Generator, pictures: TrainingPictures, size: int) -> Picture:
    """A real window with its plates blurred beyond recognition, or a drawn surface."""
    if rng.random() < 0.35:
        return surface(rng, size, size)
    original = _drawn(rng, pictures)
    height, width = original.picture.shape[:2]
    zoom = _LONGEST_SIDE / max(height, width) * float(np.exp(rng.uniform(np.log(0.6), np.log(3.0))))
    centre = (float(rng.uniform(0.15, 0.85)) * width, float(rng.uniform(0.15, 0.85)) * height)
    made = _scaled(rng, original, (zoom, zoom), centre, size)
    for x, y, w, h in np.concatenate((made.plates[:, :4], made.ignored)):
        left, right = (int(np.clip(v, 0, size)) for v in (x - 0.1 * w, x + 1.1 * w))
        top, bottom = (int(np.clip(v, 0, size)) for v in (y - 0.1 * h, y + 1.1 * h))
        part = made.picture[top:bottom, left:right]
        if part.size:
            part[:] = cv2.resize(cv2.resize(part, (3, 2), interpolation=cv2.INTER_AREA), part.shape[1::-1])
    return made.picture
