"""Things that a small network mistakes for plates: lettering, badges, stickers, grilles, lamps, signs, time stamps."""

import cv2
import numpy as np

from training.glyphs import DIGITS, FONTS, LETTERS
from training.shapes import Picture, colour, rectangle, shade

_SMALL_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def lettering(
    rng: np.random.Generator, picture: Picture, x: float, y: float, w: float, height: float | None = None
) -> None:
    """A word straight on a surface: the name of a model or a shop, or a number, without a plate around it."""
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
    metal = shade((200, 200, 200), float(rng.uniform(0.5, 1.2)))
    if rng.random() < 0.6:
        cv2.ellipse(picture, place, axes, 0, 0, 360, colour(rng), -1, cv2.LINE_AA)
    cv2.ellipse(picture, place, axes, 0, 0, 360, metal, max(round(size / 6), 1), cv2.LINE_AA)
    if rng.random() < 0.5:
        lettering(rng, picture, x, y, axes[0] * 1.3)
    else:
        points = rng.uniform(-0.6, 0.6, (int(rng.integers(3, 6)), 2)) * [axes[0], axes[1]] + [x, y]
        cv2.polylines(picture, [points.astype(np.int32)], True, metal, max(round(size / 8), 1), cv2.LINE_AA)


def sticker(rng: np.random.Generator, picture: Picture, x: float, y: float, w: float) -> None:
    """A small coloured label, round or square, with a picture, or with more text than a plate has."""
    h = w * float(rng.uniform(0.35, 1.3))
    rectangle(picture, x, y, w, h, colour(rng), float(rng.choice([0, 0.2, 1.0])))
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
    rectangle(picture, x, y, w, h, ground, float(rng.uniform(0, 0.4)))
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
        rectangle(
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
    rectangle(picture, x, y, w, h, colour(rng), float(rng.uniform(0, 0.4)))
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
    """The date and time that cameras write into a corner."""
    height, width = picture.shape[:2]
    year, month, day, hour, minute, second = rng.integers((2010, 10, 10, 10, 10, 10), (2030, 13, 29, 24, 60, 60))
    text = f"{year}-{month}-{day} {hour}:{minute}:{second}"
    scale = float(rng.uniform(0.3, 0.9))
    at = (int(rng.integers(2, max(width // 3, 3))), int(rng.choice([round(24 * scale) + 2, height - 4])))
    ink = (245, 245, 245) if rng.random() < 0.8 else (20, 220, 240)
    cv2.putText(picture, text, at, FONTS[int(rng.integers(4))], scale, ink, max(round(2 * scale), 1), cv2.LINE_AA)


def clutter(rng: np.random.Generator, picture: Picture, count: int) -> None:
    """Draw `count` things that are not plates, anywhere in the picture."""
    height, width = picture.shape[:2]
    draws = (lettering, badge, sticker, sign, lamp)
    for _ in range(count):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        size = float(np.exp(rng.uniform(np.log(12), np.log(140))))
        if rng.random() < 0.2:
            grille(rng, picture, x, y, size, size * float(rng.uniform(0.2, 1)))
        else:
            draws[int(rng.integers(len(draws)))](rng, picture, x, y, size)
