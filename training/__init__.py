"""Trains the network of `processors.plates.network`. Needs torch, numpy and OpenCV; not part of the installed package.

See docs/plates.md for the data, the command and what came of it.
"""
