"""Ids as people and programs spell them: the one form that counts, and the form that nearly equal ids share.

The same name comes in several spellings: an accent as part of a letter or as a character of its own (Vietnamese files
from a Mac), Arabic letters for Persian ones, Persian digits, blanks around it. They are one id (`normal`). Spellings
that differ in case, width or characters that cannot be seen may be one id or two: nobody but the operator knows, so
only one of them may be in the register (`skeleton`).
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from store.texts import Texts

LONGEST_ID = 200

_PERSIAN = str.maketrans({"\u064a": "\u06cc", "\u0649": "\u06cc", "\u0643": "\u06a9"})
"""Yeh and kaf as Arabic keyboards write them -> as Persian ones do."""
_DIGIT = re.compile(r"[^\D0-9]")

# Characters without a shape of their own that Python holds for printable: joiners, fillers, variation selectors, and
# the blank of Braille.
_SHAPELESS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_UNSEEN = re.compile(f"[{_SHAPELESS}]")
# Besides those: the Arabic stroke that only lengthens a word, and vowel signs that most writers leave out.
_OPTIONAL = re.compile(f"[{_SHAPELESS}\u0640\u064b-\u0652\u0670]")
_TONES = "\u0300\u0301\u0303\u0309\u0323"
"""Vietnamese tone marks: grave, acute, tilde, hook above, dot below. Either vowel of a syllable may carry its tone."""
_TONE = re.compile(f"[{_TONES}]")
_TONED_WORD = re.compile(rf"\S*[{_TONES}]\S*")
_BLANKS = re.compile(r"[^\S\n]+")
_BLANKS_AROUND = re.compile(r"(?m)^ | $")
_ONE_OF_ALIKE = _PERSIAN | str.maketrans({"\u00f0": "\u0111", "\u0256": "\u0111"})
"""Yeh and kaf, and letters of other alphabets that look like the Vietnamese d with a stroke."""


def normal(text: str) -> str:
    """The form of an id that counts: without blanks around it, NFC, Persian yeh and kaf, digits 0 to 9."""
    text = text.strip()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text).translate(_PERSIAN)
    return _DIGIT.sub(_ascii_digit, text).strip()


def normals(ids: Sequence[str]) -> Sequence[str]:
    """`normal` of each, fast where all are ASCII."""
    stripped = list(map(str.strip, ids))
    if "".join(stripped).isascii():
        return stripped
    return [text if text.isascii() else normal(text) for text in stripped]


def skeleton(text: str) -> str:
    """A form that ids share if they differ in case, width, inner blanks, or what is not seen or not always written."""
    visible = (
        " " if letter.isspace() else letter for letter in normal(text) if letter.isspace() or letter.isprintable()
    )
    return _skeletons("".join(visible))


def skeletons(ids: Sequence[str]) -> Sequence[str]:
    """`skeleton` of each, which must be in the normal form and printable; fast where all are ASCII."""
    joined = "\n".join(ids)
    if not joined.isascii() or "  " in joined:
        return _skeletons(joined).split("\n")
    upper = joined.upper()
    return ids if upper == joined else upper.split("\n")


def comparable(ids: Texts) -> Texts:
    """`skeletons` of packed texts in columns: the same object if all are their own."""
    written = ids.data.tobytes()
    if written.isascii() and b"  " not in written:
        upper = written.upper()
        return ids if upper == written else Texts(np.frombuffer(upper, np.uint8), ids.start, ids.length)
    return Texts.of(skeletons(ids.strings()))


def _skeletons(text: str) -> str:
    """The skeletons of printable ids between line feeds: all of them at once, since there may be millions."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    text = _OPTIONAL.sub("", text.translate(_ONE_OF_ALIKE))
    text = _BLANKS_AROUND.sub("", _BLANKS.sub(" ", _DIGIT.sub(_ascii_digit, text)))
    text = _TONED_WORD.sub(lambda word: _TONE.sub("", word[0]) + "".join(sorted(_TONE.findall(word[0]))), text)
    return text.upper()  # numbers of meters and customers are mostly in capitals: their own skeletons


def _ascii_digit(digit: "re.Match[str]") -> str:
    return str(unicodedata.decimal(digit[0]))


def is_source_id(text: str) -> bool:
    """Whether a register can hold this id: it has 1 to `LONGEST_ID` characters, all printable."""
    return 0 < len(text) <= LONGEST_ID and text.isprintable()


def unseen(text: str) -> str | None:
    """The first character of an id that can't be seen, in words ("U+200C, ZERO WIDTH NON-JOINER"), or None."""
    for letter in text:
        if not letter.isprintable() or _UNSEEN.match(letter):
            return f"U+{ord(letter):04X}, {unicodedata.name(letter, 'a control character')}"
    return None


def holds_unseen(text: str) -> bool:
    """Whether any character of a text, which may be many ids, can't be seen."""
    return not text.isprintable() or (not text.isascii() and _UNSEEN.search(text) is not None)
