"""A number for each (area, class) of a metric, which both can be read from: no table, so nothing grows or fills up."""

from schemas.batch import DecodeError
from schemas.catalogue import Metric

MOST_GROUPS = 1 << 32
"""Group numbers have 32 bits."""


def group_number(metric: Metric, area: int, class_: str) -> int:
    """The number of an area and class. Raises `DecodeError` for what the metric does not have."""
    if class_ not in metric.classes:
        raise DecodeError("unknown-class", f"{class_!r} is no class of {metric.name}")
    number = area * len(metric.classes) + metric.classes.index(class_)
    if number >= MOST_GROUPS:
        raise DecodeError("out-of-range", f"area {area} is out of range")
    return number


def group_name(metric: Metric, number: int) -> tuple[int, str]:
    """Area and class of a group of `metric`."""
    area, class_ = divmod(number, len(metric.classes))
    return area, metric.classes[class_]
