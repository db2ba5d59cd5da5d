"""Scenes around plates: vehicles drawn roughly, and the things that a small network takes for plates."""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.degrade import weathered
from training.glyphs import DIGITS, FONTS, LETTERS
from training.plates import TWO_LINES, Plate, draw_plate

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float64]

_FINER = 4
_SEEN_FROM_ASIDE = 0.1
_SMALL_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """A body's or a sign's colour: grey more often than not, as cars are."""
    if rng.random() < 0.55:
        grey = float(rng.choice([25, 60, 120, 180, 225])) + float(rng.normal(0, 14))
        b, g, r = np.clip(grey + rng.normal(0, 5, 3), 0, 255).astype(int).tolist()
    else:
        b, g, r = rng.integers(0, 256, 3).tolist()
    return b, g, r


def paste(
    rng: np.random.Generator,
    picture: Picture,
    plate: Plate,
    x: float,
    y: float,
    w: float,
    tilt: float = 0.12,
    light: float | None = None,
) -> Boxes:
    """Put a plate of width `w` with its centre at x, y into the picture; its bounding box and form, shape (5,).

    `tilt` bounds how far its corners move, as a share of its height; `light` is how bright it is, by chance if None.
    """
    height, width = plate.picture.shape[:2]
    h = w * height / width
    light = float(rng.uniform(0.55, 1.0)) if light is None else light
    small = cv2.resize(plate.picture, (max(round(w), 4), max(round(h), 3)), interpolation=cv2.INTER_AREA)
    seen = weathered(rng, np.asarray(small, np.uint8), light)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    turn = float(rng.normal(0, tilt * 0.5))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    squeezed = float(rng.uniform(0.55, 1.0)) if tilt >= _SEEN_FROM_ASIDE and rng.random() < 0.3 else 1.0
    placed = (corners - [w / 2, h / 2]) * [squeezed, float(rng.uniform(0.88, 1.1))]
    placed[:, 1] += placed[:, 0] * float(rng.uniform(-0.6, 0.6)) * (1 - squeezed)
    placed = placed @ rotation
    placed += rng.uniform(-tilt, tilt, (4, 2)) * [h * 0.5, h * 0.5] + [x, y]
    _warp(picture, seen, placed)
    low, high = placed.min(0), placed.max(0)
    return np.concatenate((low, high - low, [plate.form]))


def _warp(picture: Picture, part: Picture, corners: Boxes) -> None:
    """Draw `part` so that its corners lie on these, with soft edges."""
    height, width = picture.shape[:2]
    low = np.floor(corners.min(0)).astype(int) - 2
    high = np.ceil(corners.max(0)).astype(int) + 2
    left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    if right <= left or bottom <= top:
        return
    ph, pw = part.shape[:2]
    source = np.array([[0, 0], [pw, 0], [pw, ph], [0, ph]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(source, (corners - [left, top] - 0.5).astype(np.float32))
    size = (int(right - left), int(bottom - top))
    drawn = cv2.warpPerspective(part, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = _coverage(corners - [left, top], size)[..., None]
    under = picture[top:bottom, left:right]
    under[:] = (under * (1 - share) + drawn * share).astype(np.uint8)


def _coverage(corners: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each pixel lies inside these corners, 0 to 1; OpenCV's own soft edges would make a plate larger."""
    mask = np.zeros((size[1] * _FINER, size[0] * _FINER), np.uint8)
    shifted = np.round((corners * _FINER - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, shifted, 255, cv2.LINE_8, 4)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def surface(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Ground without things: gradients and grain, or rows of tiles."""
    low, high = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    real = np.repeat(low * (1 - share) + high * share, width, 1)
    coarse = rng.normal(0, rng.uniform(5, 40), (height // 16 + 2, width // 16 + 2, 1)).astype(np.float32)
    real = real + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    real += rng.normal(0, rng.uniform(1, 14), (height, width, 1)).astype(np.float32)
    picture: Picture = np.clip(real, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        step, line = int(rng.integers(12, 60)), colour(rng)
        for at in range(int(rng.integers(step)), max(height, width), step):
            cv2.line(picture, (0, at), (width, at), line, 1)
            if rng.random() < 0.7:
                cv2.line(picture, (at, 0), (at, height), line, 1)
    return picture


def vehicle(
    rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, plate: Plate | None
) -> Boxes | None:
    """Draw the front or rear of a vehicle whose plate, `w` wide, has its centre at x, y; the plate's box and form."""
    aspect = plate.picture.shape[1] / plate.picture.shape[0] if plate else 3.0
    if plate is not None and plate.form == TWO_LINES and rng.random() < 0.7:
        _motorcycle(rng, picture, x, y, w)
    else:
        _car(rng, picture, x, y, w, w / aspect)
    if plate is None:
        return None
    if rng.random() < 0.25:
        _frame(rng, picture, x, y, w, w / aspect)
    return paste(rng, picture, plate, x, y, w)


def _rectangle(
    picture: Picture, x: float, y: float, w: float, h: float, ink: tuple[int, int, int], round_by: float = 0.0
) -> None:
    """A filled rectangle around x, y, with round corners if asked for."""
    left, top, right, bottom = round(x - w / 2), round(y - h / 2), round(x + w / 2), round(y + h / 2)
    radius = round(round_by * min(w, h) / 2)
    if radius < 1:
        cv2.rectangle(picture, (left, top), (right, bottom), ink, -1)
        return
    cv2.rectangle(picture, (left + radius, top), (right - radius, bottom), ink, -1)
    cv2.rectangle(picture, (left, top + radius), (right, bottom - radius), ink, -1)
    for place in (
        (left + radius, top + radius),
        (right - radius, top + radius),
        (left + radius, bottom - radius),
        (right - radius, bottom - radius),
    ):
        cv2.circle(picture, place, radius, ink, -1, cv2.LINE_AA)


def _shade(ink: tuple[int, int, int], by: float) -> tuple[int, int, int]:
    b, g, r = np.clip(np.array(ink) * by, 0, 255).astype(int).tolist()
    return b, g, r


def _car(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    unit = max(w, 2.0 * h) / float(rng.uniform(0.2, 0.34))  # the car's width
    body, dark = colour(rng), (28, 26, 26)
    up = float(rng.uniform(0.05, 0.3)) * unit
    centre = y - up
    _rectangle(picture, x, y + 0.3 * unit, unit * 1.05, 0.25 * unit, (22, 22, 24), 0.3)  # shadow and wheels
    _rectangle(picture, x, centre - 0.1 * unit, unit, 0.75 * unit, body, float(rng.uniform(0.1, 0.5)))
    _gradient(rng, picture, x, centre - 0.1 * unit, unit, 0.75 * unit)
    glass = np.array([[-0.4, -0.18], [0.4, -0.18], [0.3, -0.43], [-0.3, -0.43]]) * unit + [x, centre]
    cv2.fillPoly(picture, [glass.astype(np.int32)], _shade((70, 66, 60), float(rng.uniform(0.3, 2.2))), cv2.LINE_AA)
    for at in rng.uniform(-0.12, 0.3, int(rng.integers(1, 5))):
        cv2.line(
            picture,
            (round(x - unit / 2), round(centre + at * unit)),
            (round(x + unit / 2), round(centre + at * unit)),
            _shade(body, float(rng.uniform(0.4, 1.4))),
            max(round(unit / 160), 1),
            cv2.LINE_AA,
        )
    if rng.random() < 0.5:
        _rectangle(
            picture,
            x,
            y + h * 0.2,
            unit * 1.02,
            h * float(rng.uniform(1.6, 3.0)),
            dark if rng.random() < 0.5 else _shade(body, 0.8),
            0.4,
        )
    _lamps(rng, picture, x, centre, unit)
    if rng.random() < 0.4:
        grille(
            rng,
            picture,
            x,
            y - h * float(rng.uniform(1.2, 2.5)),
            w * float(rng.uniform(1.0, 2.2)),
            h * float(rng.uniform(0.8, 2.0)),
        )
    if rng.random() < 0.6:
        _rectangle(
            picture,
            x,
            y,
            w * float(rng.uniform(1.1, 1.7)),
            h * float(rng.uniform(1.15, 1.9)),
            _shade(body, float(rng.uniform(0.35, 1.15))),
            0.3,
        )
    if rng.random() < 0.7:
        badge(rng, picture, x, y - h * float(rng.uniform(1.3, 2.8)), h * float(rng.uniform(0.5, 1.1)))
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.choice([-1, 1])) * float(rng.uniform(0.8, 1.6)) * w
        lettering(rng, picture, x + side, y - h * float(rng.uniform(-0.8, 2.2)), w * float(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.3:
        sticker(
            rng,
            picture,
            x + float(rng.uniform(-0.3, 0.3)) * unit,
            centre - 0.3 * unit,
            w * float(rng.uniform(0.2, 0.5)),
        )


def _gradient(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    left, top, right, bottom = (max(round(v), 0) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    part = picture[top:bottom, left:right]
    if part.size:
        share = np.linspace(float(rng.uniform(0.9, 1.4)), float(rng.uniform(0.4, 1.0)), part.shape[0], dtype=np.float32)
        part[:] = np.clip(part * share[:, None, None], 0, 255).astype(np.uint8)


def _lamps(rng: np.random.Generator, picture: Picture, x: float, y: float, unit: float) -> None:
    rear = rng.random() < 0.6
    ink = (30, 25, int(rng.integers(120, 235))) if rear else (215, 215, 210)
    away, w, h = float(rng.uniform(0.33, 0.44)), float(rng.uniform(0.1, 0.22)), float(rng.uniform(0.06, 0.2))
    up = float(rng.uniform(-0.05, 0.15))
    for side in (-1, 1):
        at, level = x + side * away * unit, y - up * unit
        _rectangle(picture, at, level, w * unit, h * unit, ink, float(rng.uniform(0, 0.9)))
        if rng.random() < 0.8:
            inner = (235, 235, 235) if rng.random() < 0.5 else (30, 140, 240)
            _rectangle(picture, at, level + 0.2 * h * unit, 0.6 * w * unit, 0.3 * h * unit, inner, 0.3)
        if rng.random() < 0.3:
            cv2.circle(
                picture, (round(at), round(level)), max(round(0.4 * h * unit), 1), (250, 250, 255), -1, cv2.LINE_AA
            )


def _motorcycle(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    dark, body = (30, 28, 28), colour(rng)
    _rectangle(picture, x, y + 1.6 * w, w * float(rng.uniform(0.6, 0.9)), 2.4 * w, (25, 25, 27), 0.8)
    _rectangle(picture, x, y - 0.2 * w, w * float(rng.uniform(1.0, 1.3)), 1.6 * w, dark, 0.5)
    _rectangle(picture, x, y - 1.5 * w, w * float(rng.uniform(1.2, 2.2)), 1.5 * w, body, 0.6)
    _gradient(rng, picture, x, y - 1.5 * w, 2 * w, 1.5 * w)
    _rectangle(
        picture,
        x,
        y - w * float(rng.uniform(0.8, 1.2)),
        w * float(rng.uniform(0.5, 1.2)),
        0.4 * w,
        (30, 25, int(rng.integers(130, 240))),
        0.5,
    )
    for side in (-1, 1):
        lamp = (round(x + side * w * float(rng.uniform(0.8, 1.1))), round(y - 0.7 * w))
        cv2.circle(picture, lamp, max(round(0.15 * w), 1), (30, 120, 235), -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        cv2.line(
            picture,
            (round(x + 0.9 * w), round(y - 0.2 * w)),
            (round(x + 1.2 * w), round(y + 1.2 * w)),
            (170, 170, 170),
            max(round(0.3 * w), 2),
            cv2.LINE_AA,
        )
    if rng.random() < 0.5:
        lettering(rng, picture, x, y - 1.7 * w, w * float(rng.uniform(0.5, 1.0)))


def _frame(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """A dealer's frame, with the dealer's name below or above the plate."""
    wide = h * float(rng.uniform(0.06, 0.16))
    _rectangle(picture, x, y, w + 2 * wide, h + 2.4 * wide, colour(rng), 0.1)
    if wide > 4 and rng.random() < 0.6:
        lettering(rng, picture, x, y + h / 2 + 0.6 * wide, 0.6 * w, height=wide)


def lettering(
    rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, height: float | None = None
) -> None:
    """A word straight on a surface: a model's name, a shop's, a number; no plate around it."""
    count = int(rng.integers(2, 10))
    letters = (LETTERS, _SMALL_LETTERS, LETTERS + DIGITS, DIGITS)[int(rng.integers(4))]
    word = "".join(letters[i] for i in rng.integers(0, len(letters), count))
    font = (*FONTS, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX)[int(rng.integers(6))]
    (tw, th), _ = cv2.getTextSize(word, font, 1.0, 1)
    scale = w / max(tw, 1) if height is None else height / max(th, 1)
    thick = max(round(scale * float(rng.uniform(0.8, 3.5))), 1)
    at = (round(x - tw * scale / 2), round(y + th * scale / 2))
    if rng.random() < 0.4:
        cv2.putText(picture, word, (at[0] + 1, at[1] + 1), font, scale, colour(rng), thick, cv2.LINE_AA)
    cv2.putText(picture, word, at, font, scale, colour(rng), thick, cv2.LINE_AA)


def badge(rng: np.random.Generator, picture: Picture, x: float, y: float, size: float) -> None:
    """A maker's mark: a ring or an oval with a sign inside."""
    place, axes = (round(x), round(y)), (max(round(size * float(rng.uniform(0.6, 1.3))), 1), max(round(size * 0.6), 1))
    metal = _shade((200, 200, 200), float(rng.uniform(0.5, 1.2)))
    if rng.random() < 0.6:
        cv2.ellipse(picture, place, axes, 0, 0, 360, colour(rng), -1, cv2.LINE_AA)
    cv2.ellipse(picture, place, axes, 0, 0, 360, metal, max(round(size / 6), 1), cv2.LINE_AA)
    if rng.random() < 0.5:
        lettering(rng, picture, x, y, axes[0] * 1.3)
    else:
        points = rng.uniform(-0.6, 0.6, (int(rng.integers(3, 6)), 2)) * [axes[0], axes[1]] + [x, y]
        cv2.polylines(picture, [points.astype(np.int32)], True, metal, max(round(size / 8), 1), cv2.LINE_AA)


def sticker(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    """A small coloured label, round or square, with a picture or too much text for a plate."""
    h = w * float(rng.uniform(0.35, 1.3))
    _rectangle(picture, x, y, w, h, colour(rng), float(rng.choice([0, 0.2, 1.0])))
    chance = rng.random()
    if chance < 0.35:
        cv2.circle(picture, (round(x), round(y)), max(round(h / 3), 1), colour(rng), -1, cv2.LINE_AA)
    elif chance < 0.7:
        lines = int(rng.integers(3, 7))
        for line in range(lines):
            lettering(rng, picture, x, y + h * ((line + 0.5) / lines - 0.5), w * 0.8, height=h / lines * 0.6)


def grille(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, h: float) -> None:
    """Slats, bars or a mesh: a radiator, a drain, a shutter."""
    ground, ink = (30, 30, 30), colour(rng)
    if rng.random() < 0.3:
        ground, ink = ink, ground
    _rectangle(picture, x, y, w, h, ground, float(rng.uniform(0, 0.4)))
    step, thick = max(h / float(rng.integers(3, 9)), 2.0), max(round(h / 30), 1)
    kind = rng.random()
    if kind < 0.7:
        for at in np.arange(y - h / 2 + step / 2, y + h / 2, step):
            cv2.line(picture, (round(x - w / 2), round(at)), (round(x + w / 2), round(at)), ink, thick, cv2.LINE_AA)
    if kind > 0.4:
        for at in np.arange(x - w / 2 + step / 2, x + w / 2, step):
            cv2.line(picture, (round(at), round(y - h / 2)), (round(at), round(y + h / 2)), ink, thick, cv2.LINE_AA)


def lamp(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    """A bright panel or tube, or a round light with a halo."""
    bright = tuple(int(v) for v in rng.integers(200, 256, 3))
    if rng.random() < 0.6:
        _rectangle(
            picture,
            x,
            y,
            w,
            w * float(rng.uniform(0.1, 0.6)),
            (bright[0], bright[1], bright[2]),
            float(rng.uniform(0, 1)),
        )
    else:
        cv2.circle(
            picture, (round(x), round(y)), max(round(w / 4), 1), (bright[0], bright[1], bright[2]), -1, cv2.LINE_AA
        )


def sign(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    """A shop's or a road sign: strong colours and words, or an arrow, or stripes."""
    h = w * float(rng.uniform(0.2, 1.2))
    _rectangle(picture, x, y, w, h, colour(rng), float(rng.uniform(0, 0.4)))
    chance = rng.random()
    if chance < 0.45:
        lines = int(rng.integers(1, 5))
        for line in range(lines):
            level = y + h * ((line + 0.5) / lines - 0.5)
            lettering(rng, picture, x + float(rng.uniform(-0.1, 0.1)) * w, level, w * float(rng.uniform(0.3, 0.9)))
    elif chance < 0.7:
        points = rng.uniform(-0.45, 0.45, (int(rng.integers(3, 7)), 2)) * [w, h] + [x, y]
        cv2.fillPoly(picture, [points.astype(np.int32)], colour(rng), cv2.LINE_AA)
    else:
        ink = colour(rng)
        for at in np.arange(x - w / 2, x + w / 2, max(w / float(rng.integers(3, 12)), 2)):
            cv2.line(
                picture,
                (round(at), round(y - h / 2)),
                (round(at + h / 3), round(y + h / 2)),
                ink,
                max(round(w / 30), 1),
            )


def stamp(rng: np.random.Generator, picture: Picture) -> None:
    """The date and place that cameras write into a corner."""
    height, width = picture.shape[:2]
    year, month, day, hour, minute, second = rng.integers((2010, 10, 10, 10, 10, 10), (2030, 13, 29, 24, 60, 60))
    text = f"{year}-{month}-{day} {hour}:{minute}:{second}"
    scale = float(rng.uniform(0.3, 0.9))
    at = (int(rng.integers(2, max(width // 3, 3))), int(rng.choice([round(24 * scale) + 2, height - 4])))
    ink = (245, 245, 245) if rng.random() < 0.8 else (20, 220, 240)
    cv2.putText(picture, text, at, FONTS[int(rng.integers(4))], scale, ink, max(round(2 * scale), 1), cv2.LINE_AA)


def clutter(rng: np.random.Generator, picture: Picture, count: int) -> None:
    """Draw this many things that are no plates, anywhere."""
    height, width = picture.shape[:2]
    draws = (lettering, badge, sticker, sign, lamp)
    for _ in range(count):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        size = float(np.exp(rng.uniform(np.log(12), np.log(140))))
        if rng.random() < 0.2:
            grille(rng, picture, x, y, size, size * float(rng.uniform(0.2, 1)))
        else:
            draws[int(rng.integers(len(draws)))](rng, picture, x, y, size)


def drawn_scene(rng: np.random.Generator, picture: Picture, form: int | None = None) -> Boxes:
    """Draw vehicles and clutter over a background, plates last; the plates' boxes and forms, shape (n, 5)."""
    height, width = picture.shape[:2]
    clutter(rng, picture, int(rng.integers(0, 6)))
    boxes: list[Boxes] = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        w = float(np.exp(rng.uniform(np.log(20), np.log(width * 0.75))))
        x, y = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.2, 0.9) * height)
        if any(abs(x - b[0] - b[2] / 2) < 3.5 * max(w, b[2]) for b in boxes):
            continue  # a vehicle would hide the other's plate
        plate = draw_plate(rng, form) if rng.random() < 0.85 else None
        if plate is not None and plate.form == TWO_LINES:
            w *= 0.7
        box = vehicle(rng, picture, x, y, w, plate)
        if box is not None:
            boxes.append(box)
    return np.array(boxes).reshape(-1, 5)
