"""What each contributor of a group comes to in a window. A pure function."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from processors.rows import Indices, Rows
from processors.runs import changes
from processors.winners import Numbers, runs_of

_Kind = TypeVar("_Kind", bound=np.generic)


def contributions(rows: Rows, of_message: Numbers, left_out: Indices) -> tuple[Numbers, NDArray[np.int64]]:
    """The group of each contributor, ascending, and the sum of its values, modulo 2^64. Shape (contributors,).

    `of_message` (m,) is the group of each message, a small number; rows at the places `left_out` do not count, and a
    contributor in two groups is two. Group, contributor and value are sorted as one number where 64 bits hold them,
    which they mostly do: so a value needs not be fetched from its place.
    """
    low = int(rows.value.min())
    of_value = (int(rows.value.max()) - low).bit_length()
    of_number = int(rows.contributor.max()).bit_length()
    if int(of_message.max()).bit_length() + of_number + of_value > 64:
        return _by_place(rows, of_message, left_out)
    beyond = np.uint64(of_value)
    key = rows.contributor.astype(np.uint64)
    key <<= beyond
    key += rows.value.view(np.uint64)
    key += rows.of_messages((of_message.astype(np.uint64) << np.uint64(of_number + of_value)) - np.uint64(low % 2**64))
    key = _without(key, left_out)
    key.sort()
    begins = np.flatnonzero(changes(key >> beyond))
    names, count = key[begins] >> beyond, np.diff(begins, append=len(key)).view(np.uint64)
    net = np.add.reduceat(key, begins) - count * ((names << beyond) - np.uint64(low % 2**64))
    return (names >> np.uint64(of_number)).astype(np.uint32), net.view(np.int64)


def _by_place(rows: Rows, of_message: Numbers, left_out: Indices) -> tuple[Numbers, NDArray[np.int64]]:
    """The same for numbers of any size, by the places of the rows in order."""
    columns = (rows.of_messages(of_message), rows.contributor, rows.value)
    group, contributor, value = (_without(column, left_out) for column in columns)
    runs = runs_of(group, contributor)
    return group[runs.order[runs.begins]], np.add.reduceat(value[runs.order], runs.begins)


def _without(column: NDArray[_Kind], left_out: Indices) -> NDArray[_Kind]:
    return np.delete(column, left_out) if len(left_out) else column
