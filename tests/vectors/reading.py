"""The committed vectors, as a program in any language reads them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.vectors.making import FOLDER

_ALSO = {
    "malformed": {"bad-key", "too-long"},
    "unknown-format": {"malformed"},
    "other-identity": {"malformed"},
    "wrong-audience": {"malformed"},
}
"""What our code may find first, or how it names the same, by the word of the vector."""


@dataclass(frozen=True)
class Read:
    """A vector with what its receiver knows; `text` is its content, None where that is not UTF-8."""

    object: str
    name: str
    good: bool
    why: str | None
    content: bytes
    given: dict[str, Any]

    @property
    def text(self) -> str:
        return self.content.decode()

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def read(object_: str) -> list[Read]:
    """All vectors of an object."""
    found = json.loads((FOLDER / f"{object_}.json").read_bytes())
    return [
        Read(
            object_,
            vector["name"],
            vector["good"],
            vector.get("why"),
            bytes.fromhex(vector["content_hex"]) if "content_hex" in vector else vector["content"].encode(),
            found["given"] | vector.get("given", {}),
        )
        for vector in found["vectors"]
    ]


def words_for(vector: Read) -> set[str | None]:
    """The words that a refusal of our code may have."""
    return {vector.why, *_ALSO.get(vector.why or "", ())}


def check(vector: Read, accept: Callable[[], object], refusal: type[Exception] | tuple[type[Exception], ...]) -> None:
    """That `accept` takes a good vector, and refuses a bad one with a word for what is wrong with it."""
    if vector.good:
        accept()
    else:
        with pytest.raises(refusal) as refused:
            accept()
        assert refused.value.reason in words_for(vector)  # type: ignore[attr-defined]
