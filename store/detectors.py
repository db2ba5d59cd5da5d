"""Which detectors were used on the pictures of a dataset, and how good they are."""

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
    """A detector that was used; the earliest picture was taken at `since_ms`, milliseconds since 1970, UTC."""

    detector: Detector
    since_ms: int


def record_detector(connection: Connection, dataset: str, detector: Detector, since_ms: int) -> None:
    """Store that a detector was used on pictures of a dataset, the earliest of them taken at `since_ms`.

    Repeating it keeps the earliest time. Milliseconds since 1970, UTC.
    """
    values = (detector.name, detector.version, detector.precision, detector.recall)
    connection.execute(_RECORD_DETECTOR, (dataset, *values, moment(since_ms)))


def detectors(connection: Connection) -> Mapping[str, list[DetectorUse]]:
    """All uses by dataset, in the order of their beginnings."""
    found: dict[str, list[DetectorUse]] = {}
    for dataset, since, *values in connection.execute(
        "SELECT dataset, since, name, version, precision_measured, recall_measured FROM detectors"
        " ORDER BY dataset, since, name, version"
    ):
        found.setdefault(dataset, []).append(DetectorUse(Detector(*values), milliseconds(since)))
    return found
