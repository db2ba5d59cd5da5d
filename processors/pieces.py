"""Long work in pieces: a generator yields after each piece, and returns the result.

So the caller can do something else in between, such as polling (R15). The result is the same however long it waits.
"""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Pieces = Generator[None, None, Result]


def finish(pieces: Pieces[Result]) -> Result:
    """Do all pieces that are left, and return the result."""
    while True:
        try:
            next(pieces)
        except StopIteration as ended:
            result: Result = ended.value
            return result
