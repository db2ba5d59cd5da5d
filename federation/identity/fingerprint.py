"""A thumbprint as digits that two people read to each other on the telephone."""

from base64 import urlsafe_b64decode

_GROUPS = 8
_DIGITS = 5


def digits(thumbprint: str) -> str:
    """Eight groups of five digits for a thumbprint (43 characters of base64url): what it is as a number, modulo 10^40.

    To make a key with the digits of another takes 2^132 attempts, more than for half of SHA-256.
    """
    number = int.from_bytes(urlsafe_b64decode(thumbprint + "="), "big") % 10 ** (_GROUPS * _DIGITS)
    text = f"{number:0{_GROUPS * _DIGITS}}"
    return " ".join(text[start : start + _DIGITS] for start in range(0, len(text), _DIGITS))
