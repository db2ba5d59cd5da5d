"""A vector: the bytes of an object, what its receiver knows, and whether it must be accepted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.vectors.signing import Json, digest

NOW = "2026-12-01T12:00:00Z"
"""The time at which every vector is read, unless it says another."""


@dataclass(frozen=True)
class Vector:
    """`why` is the word for what is wrong; None says that the object is good. `given` is what the receiver knows."""

    name: str
    content: bytes
    why: str | None = None
    given: Json = field(default_factory=dict)

    def shown(self, given: Json) -> Json:
        """The vector as JSON; `given` is what holds for all of its file, and is not repeated."""
        try:
            content: Json = {"content": self.content.decode()}
        except UnicodeDecodeError:
            content = {"content_hex": self.content.hex()}
        verdict = {"good": True} if self.why is None else {"good": False, "why": self.why}
        return {"name": self.name, **verdict, **_own(self.given, given), **content, "sha256": digest(self.content)}


def good(name: str, content: bytes | str, **given: object) -> Vector:
    return Vector(name, content.encode() if isinstance(content, str) else content, None, given)


def bad(why: str, name: str, content: bytes | str, **given: object) -> Vector:
    return Vector(name, content.encode() if isinstance(content, str) else content, why, given)


def _own(given: Json, common: Json) -> Json:
    own = {name: value for name, value in given.items() if name not in common or common[name] != value}
    return {"given": own} if own else {}


def rendered(object_: str, vectors: Sequence[Vector]) -> str:
    """The file of one object's vectors."""
    assert len({vector.name for vector in vectors}) == len(vectors), "a name is there twice"
    first = vectors[0].given
    common = first if all(first.keys() <= vector.given.keys() for vector in vectors) else {}
    content = {"object": object_, "given": common, "vectors": [vector.shown(common) for vector in vectors]}
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"
