"""Characters as masks: OpenCV's stroke fonts, Persian digits and letters drawn by hand, and invented strokes."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"
PERSIAN_LETTERS = "بجدسصطقلمنوه"

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)
OWN = -1
"""Used in place of a font number for the strokes drawn here."""

_SIZE = 96
_Stroke = list[tuple[float, float]]


def _arc(cx: float, cy: float, rx: float, ry: float, begin: float, end: float) -> _Stroke:
    """Points on an ellipse; degrees clockwise from the right, in a box of 1 by 1."""
    angles = np.radians(np.linspace(begin, end, 14))
    return [(cx + rx * float(np.cos(a)), cy + ry * float(np.sin(a))) for a in angles]


_DOT: _Stroke = [(0, 0), (0.02, 0.02)]


def _dot(x: float, y: float) -> _Stroke:
    return [(x + dx, y + dy) for dx, dy in _DOT]


_PERSIAN: dict[str, list[_Stroke]] = {
    "۰": [_arc(0.5, 0.55, 0.16, 0.16, 0, 360)],
    "۱": [[(0.4, 0.05), (0.55, 0.35), (0.55, 0.95)]],
    "۲": [[(0.2, 0.05), (0.35, 0.4), (0.35, 0.95)], _arc(0.55, 0.05, 0.2, 0.32, 180, 0)],
    "۳": [
        [(0.12, 0.05), (0.25, 0.4), (0.25, 0.95)],
        _arc(0.4, 0.08, 0.14, 0.3, 180, 0),
        _arc(0.7, 0.08, 0.16, 0.3, 180, 0),
    ],
    "۴": [[(0.25, 0.05), (0.35, 0.4), (0.35, 0.95)], _arc(0.62, 0.25, 0.22, 0.2, 300, 60), [(0.36, 0.42), (0.8, 0.42)]],
    "۵": [
        _arc(0.32, 0.68, 0.22, 0.25, 30, 250),
        _arc(0.68, 0.68, 0.22, 0.25, 150, -70),
        [(0.25, 0.45), (0.5, 0.05), (0.76, 0.45)],
    ],
    "۶": [_arc(0.5, 0.25, 0.25, 0.2, 330, 90), [(0.3, 0.45), (0.75, 0.45)], [(0.6, 0.45), (0.3, 0.95)]],
    "۷": [[(0.15, 0.08), (0.5, 0.95), (0.85, 0.08)]],
    "۸": [[(0.15, 0.92), (0.5, 0.05), (0.85, 0.92)]],
    "۹": [_arc(0.45, 0.28, 0.22, 0.22, 0, 360), [(0.67, 0.28), (0.7, 0.95)]],
    "ب": [_arc(0.5, 0.4, 0.4, 0.25, 180, 0), _dot(0.5, 0.88)],
    "ج": [[(0.2, 0.2), (0.8, 0.25)], _arc(0.6, 0.6, 0.35, 0.35, 250, 40), _dot(0.6, 0.6)],
    "د": [[(0.4, 0.1), (0.7, 0.6), (0.25, 0.75)]],
    "س": [_arc(0.3, 0.55, 0.22, 0.3, 180, 0), _arc(0.62, 0.35, 0.1, 0.22, 180, 0), _arc(0.84, 0.35, 0.1, 0.22, 180, 0)],
    "ص": [_arc(0.3, 0.55, 0.22, 0.3, 180, 0), _arc(0.72, 0.42, 0.22, 0.16, 0, 360)],
    "ط": [[(0.3, 0.05), (0.3, 0.75)], _arc(0.55, 0.6, 0.28, 0.16, 0, 360)],
    "ق": [_arc(0.45, 0.6, 0.3, 0.3, 180, 0), _arc(0.65, 0.45, 0.14, 0.14, 0, 360), _dot(0.55, 0.1), _dot(0.72, 0.1)],
    "ل": [[(0.7, 0.05), (0.7, 0.6)], _arc(0.45, 0.6, 0.25, 0.3, 0, 180)],
    "م": [_arc(0.55, 0.35, 0.2, 0.16, 0, 360), [(0.4, 0.45), (0.3, 0.95)]],
    "ن": [_arc(0.5, 0.45, 0.35, 0.4, 180, 0), _dot(0.5, 0.2)],
    "و": [_arc(0.6, 0.3, 0.18, 0.18, 0, 360), [(0.78, 0.35), (0.65, 0.75), (0.3, 0.92)]],
    "ه": [_arc(0.5, 0.6, 0.32, 0.28, 0, 360), [(0.35, 0.35), (0.6, 0.7)]],
}


@cache
def glyph(character: str, font: int, weight: int) -> Mask:
    """A character's mask, 0 to 255, cropped to its ink. `weight` 1 to 3; Persian characters ignore `font`."""
    canvas = np.zeros((_SIZE * 2, _SIZE * 2), np.uint8)
    if character in _PERSIAN or font == OWN:
        strokes = _PERSIAN.get(character) or _invented(character)
        for stroke in strokes:
            points = (np.array(stroke) * [_SIZE * 0.8, _SIZE] + _SIZE // 2).astype(np.int32)
            cv2.polylines(canvas, [points], False, 255, 7 + 3 * weight, cv2.LINE_AA)
    else:
        scale = 5.5 if font == cv2.FONT_HERSHEY_PLAIN else 3.0
        cv2.putText(canvas, character, (_SIZE // 3, _SIZE + _SIZE // 3), font, scale, 255, 4 + 4 * weight, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(canvas)
    return canvas[y : y + h, x : x + w] if w and h else canvas[:2, :2]


def _invented(character: str) -> list[_Stroke]:
    """Strokes in place of a script that isn't drawn here; always the same for a character."""
    rng = np.random.default_rng(ord(character))
    return [[tuple(p) for p in rng.uniform(0, 1, (int(rng.integers(2, 5)), 2))] for _ in range(int(rng.integers(2, 5)))]


def written(rng: np.random.Generator, text: str, width: int, height: int, font: int, weight: int) -> Mask:
    """A mask of this size filled with text: each character as high as the mask, all stretched to its width.

    A space is a gap; a dot, a hyphen or a colon is small.
    """
    gap = float(rng.uniform(0.1, 0.3))
    widths = [0.45 if c in " " else 0.22 if c in ".:-|1I۱" else 1.0 for c in text]
    unit = width / (sum(widths) + gap * (len(text) - 1) + 1e-6)
    mask = np.zeros((height, width), np.uint8)
    at = 0.0
    for character, share in zip(text, widths, strict=True):
        left, right = round(at), round(at + share * unit)
        _place(mask, character, left, right, font, weight)
        at += (share + gap) * unit
    return mask


def _place(mask: Mask, character: str, left: int, right: int, font: int, weight: int) -> None:
    height = mask.shape[0]
    right = min(max(right, left + 1), mask.shape[1])
    if character == " " or right <= left:
        return
    if character in ".:-":
        middle, thick = height // 2, max(height // 14, 1)
        mask[middle - thick : middle + thick, left:right] = 255
        return
    form = glyph(character, font, weight)
    top, bottom = (round(0.3 * height), round(0.75 * height)) if character == "۰" else (0, height)
    mask[top:bottom, left:right] = cv2.resize(form, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
