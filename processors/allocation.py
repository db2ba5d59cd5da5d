"""The C library's allocator, in a process that makes and drops arrays of megabytes for each poll."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""
_KEPT_BYTES = 128 << 20
_LARGE_BYTES = 32 << 20


def keep_freed_memory() -> bool:
    """Have this process keep up to 128 MB of freed memory for its next arrays. False where glibc is not its C library.

    Otherwise the system gets most of it back after each step, and zeroes it page by page for the next: of each reading
    of a batch, a tenth of the processor's time. Larger blocks than 32 MB are given back still.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(_MMAP_THRESHOLD, _LARGE_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)])
