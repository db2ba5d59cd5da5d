"""Names and settings of the topics."""

import re
from collections.abc import Mapping

from schemas.catalogue import metrics_of

DEFAULT_PARTITIONS = 32

FRAMES = "traffic.frames"
"""The dataset of pictures, the only one with messages that are not batches of readings."""

REGIONS = "traffic.plate-regions"
"""The dataset of plate regions found in the pictures."""

LARGEST_MESSAGE = 4 << 20
"""The largest message with a picture, in bytes."""

RETENTION_ALARM = 0.5
"""The share of its retention that an unread message may use up before the operator is warned."""

_DAY_MS = 24 * 3600 * 1000

HORIZON_MS = 7 * _DAY_MS
"""How long after its window has closed a reading may come and still be counted in a correction (R13)."""

CORRECTED_FOR_MS = HORIZON_MS + 2 * _DAY_MS
"""How long what corrections need is kept after a window has closed: the last of them may be made a little later."""

_FRAMES = {"retention.ms": "300000", "segment.ms": "60000", "max.message.bytes": str(LARGEST_MESSAGE)}
_GENERATION = re.compile(r"[1-9][0-9]{0,3}")
_PART = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def live(city: str, dataset: str, generation: int = 1) -> str:
    """The topic of a city's running stream: `isfahan.energy.readings.v1`.

    A later generation has more partitions and takes the readings from a time on: `isfahan.energy.readings.v2` (R5).
    """
    return f"{city}.{dataset}.v{generation}"


def generation_of(topic: str) -> int:
    """The generation that a topic is; the inverse of `live`. That of an import is 1."""
    number = topic.rpartition(".v")[2]
    return int(number) if _GENERATION.fullmatch(number) else 1


def is_live(city: str, topic: str) -> bool:
    """Whether a topic is that of a running stream of the city, of any generation."""
    number = topic.rpartition(".v")[2]
    return bool(_GENERATION.fullmatch(number)) and topic == live(city, dataset_of(topic), int(number))


def history(city: str, dataset: str, name: str) -> str:
    """The topic of one import of past data (R11): `isfahan.energy.readings.history.household-2007.v1`.

    Raises `ValueError` if `name` is not made of lower-case letters, digits and single hyphens.
    """
    if not _PART.fullmatch(name):
        raise ValueError(f"{name!r} can't name an import: use lower-case letters, digits and hyphens")
    return f"{city}.{dataset}.history.{name}.v1"


def dataset_of(topic: str) -> str:
    """The dataset that a topic carries; the inverse of `live` and `history`."""
    parts = topic.split(".")
    return ".".join(parts[1:3])


def settings(dataset: str) -> Mapping[str, str]:
    """Kafka's settings of a dataset's topics.

    Timestamps are the broker's, so that retention does not delete readings of the past at once. Pictures are kept for
    minutes (P1). Readings are kept for nine days longer than their windows can be open: a replay reads the open windows
    again (R2), and corrections those that have closed (R13). Waiting for a silent feeder (R16) takes hours of that.
    """
    kept = _FRAMES if dataset == FRAMES else {"retention.ms": str(CORRECTED_FOR_MS + _open_ms(dataset))}
    return {"message.timestamp.type": "LogAppendTime", **kept}


def _open_ms(dataset: str) -> int:
    """The longest time that a window can be open after its first reading, milliseconds of event time."""
    return max(metric.longest_window_ms + metric.lateness_ms for metric in metrics_of(dataset))
