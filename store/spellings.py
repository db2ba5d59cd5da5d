"""Finding ids that are nearly equal, among millions: they differ, and what makes them comparable does not."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from store.database import Connection
from store.register_columns import RegisterError
from store.texts import Texts

Comparable = Callable[[Texts], Texts]
"""Ids -> the forms of them that nearly equal ids share, in this order; the same object if it is all of them."""

PAGE = 50_000
"""Ids that are read at once."""

_PAGES = {
    "sources": "SELECT string_agg(source, E'\\n' ORDER BY number) FROM sources "
    "WHERE number >= %(from)s AND number < %(until)s",
    "contributors": "SELECT string_agg(contributor, E'\\n' ORDER BY number) FROM contributors "
    "WHERE number >= %(from)s AND number < %(until)s",
}
_LAST = {
    "sources": "SELECT coalesce(max(number), -1) FROM sources",
    "contributors": "SELECT coalesce(max(number), -1) FROM contributors",
}


class Spellings:
    """Ids with a label each, kept as 24 bytes: hashes of the id and of its comparable form.

    That two ids have the same hash by chance is as likely as one in a million among five million.
    """

    def __init__(self, comparable: Comparable) -> None:
        self._comparable = comparable
        self._parts: list[tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]] = []

    def add(self, ids: Texts, labels: NDArray[np.int64]) -> None:
        """Add ids, which may be there already, with whole numbers that `groups` gives back."""
        forms = self._comparable(ids)
        exact = ids.hashes()
        self._parts.append((exact, exact if forms is ids else forms.hashes(), labels))

    def hashes(self) -> NDArray[np.uint64]:
        """`Texts.hashes` of all ids, in the order in which they were added."""
        return np.concatenate([exact for exact, _, _ in self._parts] or [np.zeros(0, np.uint64)])

    def clear(self) -> None:
        """Let all ids go."""
        self._parts.clear()

    def groups(self) -> Sequence[Sequence[Sequence[int]]]:
        """Of ids that are nearly equal, the labels of each spelling in ascending order; by the first label."""
        if all(exact is alike for exact, alike, _ in self._parts):
            return []
        exact, alike, label = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        if _different(exact) == _different(alike):
            return []
        order = np.lexsort((exact, alike))
        exact, alike, label = exact[order], alike[order], label[order]
        other = (alike[1:] == alike[:-1]) & (exact[1:] != exact[:-1])
        rows = np.flatnonzero(np.isin(alike, alike[1:][other]))
        found: dict[int, dict[int, list[int]]] = {}
        for form, spelling, number in zip(
            alike[rows].tolist(), exact[rows].tolist(), label[rows].tolist(), strict=True
        ):
            found.setdefault(form, {}).setdefault(spelling, []).append(number)
        return sorted(sorted(sorted(labels) for labels in spellings.values()) for spellings in found.values())


def refuse_nearly_equal(groups: Sequence[Sequence[Sequence[int]]], column: str) -> None:
    """Raise `RegisterError` if ids of a column are nearly equal. Labels are lines, 0 for what was loaded before.

    What was loaded before may be nearly equal to something else that was.
    """
    wrong = [(labels[0], group[0][0]) for group in groups for labels in group[1:] if labels[0]]
    if wrong:
        line, other = min(wrong)
        where = (
            f"on line {other}: if it is the same {column}, spell it the same way there and here"
            if other
            else f"in the register: spell the {column} as it is there (`sistercity register spellings` lists them)"
        )
        raise RegisterError(f"differs in case, width, blanks or signs that are not seen from one {where}", line, column)


def numbered(connection: Connection, table: str) -> Iterator[tuple[NDArray[np.int64], Sequence[str]]]:
    """All ids of "sources" or "contributors" in pages: numbers, shape (n,), and ids. Numbers are dense."""
    last = int((connection.execute(_LAST[table]).fetchone() or (-1,))[0])
    for begin in range(0, last + 1, PAGE):
        end = min(begin + PAGE, last + 1)
        row = connection.execute(_PAGES[table], {"from": begin, "until": end}).fetchone()
        ids = row[0].split("\n") if row is not None and row[0] is not None else []
        yield np.arange(begin, begin + len(ids)), ids


def _different(hashes: NDArray[np.uint64]) -> int:
    return 1 + int(np.count_nonzero(np.diff(np.sort(hashes)))) if len(hashes) else 0
