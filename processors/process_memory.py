"""The memory of a process that makes thousands of objects, and arrays of megabytes, for each poll."""

import ctypes
import gc

_NEW_OBJECTS = 100_000
"""Records of many polls. Python's own number is 700, and a poll of 2,000 messages makes 4,000 objects."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""
_KEPT_BYTES = 128 << 20
_LARGE_BYTES = 32 << 20


def prepare_memory() -> None:
    """Both of the following, for a process that folds readings."""
    keep_freed_memory()
    collect_rarely()


def keep_freed_memory() -> bool:
    """Have this process keep up to 128 MB of freed memory for its next arrays. False where glibc is not its C library.

    Otherwise the system gets most of it back after each step, and zeroes it page by page for the next: of each reading
    of a batch, a tenth of the processor's time. Larger blocks than 32 MB are given back still.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(_MMAP_THRESHOLD, _LARGE_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)])


def collect_rarely() -> None:
    """Have this process look for objects that hold each other only after so many new ones.

    Records hold nothing, and go when their poll is done: of every message that comes alone, a fifth of the processor's
    time was spent on looking for what is not there. What was made until now, mostly modules, is looked at no more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
