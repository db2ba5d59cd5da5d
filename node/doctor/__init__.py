"""What is wrong with a node, in words, and what to do about it.

Each part of the node is looked at on its own, for a few seconds at the most, so that what is up is reported on while
the rest is down. Looking (I/O) and judging (pure functions over what was seen) are kept apart.
"""
