"""The plate regions of one picture as a message: their number and places. Also the ticks of that topic."""

import numpy as np
from numpy.typing import NDArray

from schemas.batch import ACTUAL, REGION, ROW, encode
from schemas.catalogue import catalogue, sent_in
from schemas.frames import Frame
from schemas.registry import newest
from schemas.topics import REGIONS

_SCHEMA = newest(REGIONS).id


def key_of(frame: Frame) -> bytes:
    """The key of the message: one partition owns an area's cells (R5)."""
    return b"%d" % frame.area


def encode_regions(frame: Frame, regions: NDArray[np.void], feeder: str = "") -> bytes:
    """Encode the regions of a picture: dtype `REGION`, shape (n,), where n may be 0. `feeder` is who found them.

    The message holds one reading, with the time and interval of the frame and the value n in the smallest unit of the
    frame's metric.
    """
    value = len(regions) * catalogue()[frame.metric].smallest_per_unit
    counted = np.array([(frame.camera, frame.contributor, 0, value, ACTUAL)], ROW)
    return encode(
        _SCHEMA,
        metric=frame.metric,
        area=frame.area,
        class_=frame.class_,
        interval=frame.interval,
        start=frame.start,
        rows=counted,
        regions=regions,
        feeder=feeder,
    )


def encode_tick(time_ms: int, feeder: str = "") -> bytes:
    """Encode a batch without rows: `feeder` has sent all before `time_ms`, milliseconds since 1970, UTC."""
    metric = sent_in(REGIONS)[0]
    return encode(
        _SCHEMA,
        metric=metric.name,
        area=0,
        class_=metric.classes[0],
        interval=0,
        start=time_ms,
        rows=np.empty(0, ROW),
        regions=np.empty(0, REGION),
        feeder=feeder,
    )
