"""Trains the network of `processors.plates.network`. Needs torch, numpy and OpenCV; not part of the installed package.

docs/plates.md describes the data, the command and the results.
"""
