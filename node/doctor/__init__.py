"""What is wrong with a node, in words, and what to do about it.

Each part of the node is examined on its own, for a few seconds at most: a part that is down does not hide the others.
Reading the state of a part (I/O) and judging it (pure functions) are kept apart.
"""
