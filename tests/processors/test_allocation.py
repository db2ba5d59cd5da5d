"""A processor's arrays lie in memory that it has had before."""

import platform
import resource
import subprocess
import sys

import numpy as np
import pytest

ROUNDS = 20
BYTES = 3 << 20
"""Of an array. From 4 MB on numpy asks for larger pages."""
ARRAYS = 10


def pages_of_rounds() -> int:
    """How many pages of memory the system gives while arrays are made and dropped again and again."""

    def make_and_drop() -> None:
        arrays = [np.ones(BYTES, np.uint8) for _ in range(ARRAYS)]
        del arrays

    make_and_drop()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        make_and_drop()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def pages(first: str) -> int:
    """The same in a process of its own, which does something `first`."""
    program = (
        "from processors.process_memory import keep_freed_memory\n"
        "from tests.processors.test_allocation import pages_of_rounds\n"
        f"{first}\nprint(pages_of_rounds())"
    )
    return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such parameters")
def test_arrays_that_are_dropped_make_room_for_the_next_ones():
    of_an_array = BYTES // resource.getpagesize()
    assert pages("") > ROUNDS * of_an_array
    assert pages("assert keep_freed_memory()") < of_an_array
