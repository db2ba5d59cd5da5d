"""A small profile, which names its own sources."""

LOADS = """
title = "Loads"
metric = "waste.collected"
[source]
text = "{lorry}"
[time]
columns = "time"
formats = "%Y-%m-%d %H:%M"
zone = "UTC"
[value]
column = "kg"
unit = "kg"
"""
