"""What an HTTP or RTSP server that wants a login accepts: the challenges of its WWW-Authenticate headers (RFC 9110)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST_HEADER = 4_096

_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_QUOTATION = '""'
_GLUED = re.compile(r'""[^\s,]')
"""What follows a quotation at once: then it begins or ends elsewhere, and a challenge may be hidden in it."""
_SCHEME = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+(?![ \t]*=)(.*))?", re.DOTALL)
_ALGORITHM = re.compile(r'(?:^|,)\s*algorithm\s*=\s*"?([^",\s]*)', re.IGNORECASE)
_ALGORITHMS = ("", "MD5", "MD5-SESS", "SHA", "SHA-SESS", "SHA-256", "SHA-256-SESS", "SHA-512", "SHA-512-SESS")
"""Of Digest, in rising order of strength; without a name it is MD5."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in: the scheme in lower case, and its parameters as they were written."""

    scheme: str
    parameters: str

    @property
    def header(self) -> str:
        """The challenge as a header of its own."""
        return f"{self.scheme.title()} {self.parameters}"


def challenges(headers: Iterable[str]) -> Sequence[Challenge] | None:
    """Every challenge of every header, in their order; None if a header can't be taken apart, or is longer
    than `LONGEST_HEADER`.

    A header may hold several, and a challenge several parameters, all of them between commas.
    """
    found: list[tuple[str, list[str]]] = []
    for header in headers:
        if (
            len(header) > LONGEST_HEADER
            or '"' in _ITEM.sub("", header)
            or _GLUED.search(_QUOTED.sub(_QUOTATION, header))
        ):
            return None
        for item in filter(None, map(str.strip, _ITEM.findall(header))):
            scheme = _SCHEME.fullmatch(item)
            if scheme is not None:
                found.append((scheme[1].lower(), [scheme[2].strip()] if scheme[2] else []))
            elif found:
                found[-1][1].append(item)
            else:
                return None
    return [Challenge(scheme, ", ".join(parameters)) for scheme, parameters in found]


def chosen(offered: Sequence[Challenge]) -> Challenge | None:
    """The challenge to answer: the strongest known Digest; Basic, which shows the password, only without any Digest."""
    digests = [(_strength(each), each) for each in offered if each.scheme == "digest"]
    if digests:
        strength, best = max(digests, key=lambda pair: pair[0])
        return best if strength >= 0 else None
    return next((each for each in offered if each.scheme == "basic"), None)


def _strength(challenge: Challenge) -> int:
    """The place of its algorithm among those that are known; -1 for another."""
    match = _ALGORITHM.search(challenge.parameters)
    name = "" if match is None else match[1].upper()
    return _ALGORITHMS.index(name) if name in _ALGORITHMS else -1
