"""Text from elsewhere that can be shown: without control characters, and without any that change its direction."""

from unicodedata import category

_HIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """The text itself. Raises `ValueError` if it holds a control character, the end of a line, half a surrogate pair,
    or a character that changes the direction of text. The joiners that Persian needs are allowed.
    """
    if text.isascii() and text.isprintable():  # nearly all
        return text
    for character in text:
        if category(character) in _HIDDEN or character in _DIRECTION:
            raise ValueError(f"a text holds U+{ord(character):04X}, a character that can't be seen or moves others")
    return text
