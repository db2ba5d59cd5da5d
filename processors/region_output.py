"""Where plate regions go: to the topic of regions, with ticks that announce how far the cameras' time has come.

Every partition of regions gets the ticks. A tick announces the event time that all partitions of pictures have
committed, so it follows every region up to its time in the log, whichever process found that.

Regions and ticks come from two feeders (R16), each the same for all processes. The time of `PICTURES` comes from ticks
alone, so it holds the watermark at what all partitions of pictures have committed, however far ahead the regions of one
process are. `FOUND` sends the regions, and the ticks as well, because pictures may stop where others go on.
"""

from contextlib import suppress
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from eventlog.protocol import DeliveryFailed, Log, LogUnavailable, Writer
from schemas.frames import Frame
from schemas.regions import encode_regions, encode_tick, key_of
from schemas.topics import REGIONS
from store.detectors import Detector
from store.processing import Store

FOUND = "detect"
PICTURES = "pictures"

_NEVER = 2**62


class RegionOutput:
    """Sends the regions found in pictures of the topic `frames` to the topic `regions`, for all partitions.

    The writer is opened when it is first needed. A delivery that fails closes it, with everything that was not
    committed; the next call opens another. `detector` is recorded in the store as the one in use.
    """

    def __init__(self, log: Log, store: Store, frames: str, regions: str, detector: Detector) -> None:
        self._log = log
        self._store = store
        self._frames = frames
        self._regions = regions
        self._detector = detector
        self._earliest = self._recorded = _NEVER
        self._sending: tuple[UUID, Writer] | None = None
        self._announced: int | None = None

    def send(self, frame: Frame, regions: NDArray[np.void]) -> None:
        """Send the regions of a picture, dtype `schemas.batch.REGION`, shape (n,). Raises `LogUnavailable`."""
        try:
            self._writer().send(self._regions, key_of(frame), encode_regions(frame, regions, FOUND), 1)
        except DeliveryFailed as error:
            raise self._failed(error) from error
        self._earliest = min(self._earliest, frame.start)

    def flush(self) -> None:
        """Return when the log has all that was sent, and the store has recorded it.

        Raises `LogUnavailable` and `StoreUnavailable`.
        """
        if self._sending is None:
            return
        run, writer = self._sending
        try:
            writer.flush()
        except DeliveryFailed as error:
            raise self._failed(error) from error
        self._store.record_deliveries(run, writer.acknowledged().items())
        if self._earliest < self._recorded:
            self._store.record_detector(REGIONS, self._detector, self._earliest)
            self._recorded = self._earliest

    def send_ticks(self) -> None:
        """Send every partition of regions a tick if the committed time of all pictures has moved.

        Called after commits. Raises `LogUnavailable` and `StoreUnavailable`.
        """
        time = self._store.common_event_time(self._frames)
        if time is None or time == self._announced:
            return
        writer = self._writer()
        try:
            for partition in range(writer.partitions(self._regions)):
                for feeder in (FOUND, PICTURES):
                    writer.send_to(self._regions, partition, encode_tick(time, feeder))
        except DeliveryFailed as error:
            raise self._failed(error) from error
        self.flush()
        self._announced = time

    def close(self) -> None:
        """Close the writer. What was not committed is sent again by the next owner of the partition."""
        if self._sending is not None:
            _, writer = self._sending
            self._sending = None
            with suppress(DeliveryFailed):
                writer.close()

    def _writer(self) -> Writer:
        if self._sending is None:
            self._sending = (uuid4(), self._log.writer())
        return self._sending[1]

    def _failed(self, error: DeliveryFailed) -> LogUnavailable:
        self.close()
        return LogUnavailable(str(error))
