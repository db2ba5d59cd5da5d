"""Python's collector of garbage, in a process that makes thousands of objects for each poll."""

import gc

_NEW_OBJECTS = 100_000
"""Records of many polls. Python's own number is 700, and a poll of 2,000 messages makes 4,000 objects."""


def collect_rarely() -> None:
    """Have this process look for objects that hold each other only after so many new ones.

    Records hold nothing, and go when their poll is done: of every message that comes alone, a fifth of the processor's
    time was spent on looking for what is not there. What was made until now, mostly modules, is looked at no more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
