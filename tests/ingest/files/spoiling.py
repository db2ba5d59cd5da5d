"""Files that are spoiled in ways in which files get spoiled, by a seed."""

import random

from tests.soak import amount

FILES = amount(60, soak=12_500)
"""Spoiled files of each kind: of seven importers and the register, 10^5 in all in `make soak`."""

TEXTS = (
    *(b",", b";", b"\n", b"\r\n", b"\n\n", b'"', b"'", b" ", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"-", b"+", b"."),
    *(b"0", b"9", b"1e3", b"NaN", b"inf", b"?", b"<", b">", b"/", b"&", b"<!--", b"-->", b"{", b"}", b"[", b"]", b":"),
    *(b"null", b"true", b"1_000", b"1,5", b"kW", b"2026", b"9" * 30, b"\xd9\xa1", "\u00a0".encode(), "\u202f".encode()),
)


def spoiled(content: bytes, dice: random.Random) -> bytes:
    """The file with one to three changes: of bytes, of lines, of its end, of its packing."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(content) + 1)
        end = min(len(content), at + dice.choice((1, 1, 1, 2, 5, 40)))
        lines = content.splitlines(keepends=True)
        one, other = (dice.randrange(max(len(lines), 1)) for _ in range(2))
        match dice.randrange(9):
            case 0:
                content = content[:at] + content[end:]
            case 1:
                content = content[:at] + dice.choice(TEXTS) + content[at:]
            case 2:
                content = content[:at] + dice.choice(TEXTS) + content[end:]
            case 3:
                content = content[:at] + dice.randbytes(end - at) + content[end:]
            case 4:
                content = content[:at] + content[at:end] * 2 + content[end:]
            case 5:
                content = content[:at]
            case 6 if lines:
                lines[one], lines[other] = lines[other], lines[one]
                content = b"".join(lines)
            case 7 if lines:
                content = b"".join((*lines[: one + 1], lines[other], *lines[one + 1 :]))
            case 8 if lines:
                content = b"".join((*lines[:one], *lines[one + 1 :]))
    return content
