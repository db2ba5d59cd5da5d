"""Which detectors looked at a dataset's pictures: how its metrics were counted."""

from collections.abc import Mapping
from dataclasses import dataclass

from store.database import Connection
from store.moments import milliseconds, moment

_RECORD_DETECTOR = """
INSERT INTO detectors VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (dataset, name, version) DO UPDATE SET precision_measured = excluded.precision_measured,
    recall_measured = excluded.recall_measured, since = least(detectors.since, excluded.since)
"""


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector, and its precision and recall as they were measured on labelled images (0 to 1)."""

    name: str
    version: str
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class DetectorUse:
    """A detector that looked at pictures; the earliest of them was taken at `since_ms`, milliseconds since 1970."""

    detector: Detector
    since_ms: int


def record_detector(connection: Connection, dataset: str, detector: Detector, since_ms: int) -> None:
    """Note that a detector looked at pictures of a dataset, the earliest of them taken then."""
    known = (detector.name, detector.version, detector.precision, detector.recall)
    connection.execute(_RECORD_DETECTOR, (dataset, *known, moment(since_ms)))


def detectors(connection: Connection) -> Mapping[str, list[DetectorUse]]:
    """All that were noted, by dataset, in the order in which they began."""
    found: dict[str, list[DetectorUse]] = {}
    for dataset, since, *known in connection.execute(
        "SELECT dataset, since, name, version, precision_measured, recall_measured FROM detectors"
        " ORDER BY dataset, since, name, version"
    ):
        found.setdefault(dataset, []).append(DetectorUse(Detector(*known), milliseconds(since)))
    return found
