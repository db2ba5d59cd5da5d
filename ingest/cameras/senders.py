"""What a camera feed sends: the pictures themselves, or the plate regions that a detector beside the cameras finds."""

from dataclasses import dataclass, field
from typing import Protocol

from ingest.batches import Message
from ingest.feed import Feed
from ingest.journal import Journal
from schemas.frames import Frame, encode_frame
from schemas.pictures import BadPicture, Detect, RecentPictures
from schemas.regions import encode_regions, key_of
from schemas.topics import FRAMES, REGIONS, dataset_of
from store.detectors import Detector

_NEVER = 2**62


class PictureSender(Protocol):
    """Sends the pictures of known cameras, in whatever form, through `feed`."""

    @property
    def feed(self) -> Feed: ...

    def send(self, frame: Frame) -> None:
        """Send a picture, which is empty if the camera gave none. Raises `eventlog.protocol.DeliveryFailed`."""

    def flush(self) -> None:
        """Return when the log has everything and the journal has recorded it. Raises `DeliveryFailed`."""


class FrameSender:
    """Implements `PictureSender` for a topic of frames: a picture is one message and one reading, keyed by camera."""

    def __init__(self, feed: Feed) -> None:
        if dataset_of(feed.topic) != FRAMES:
            raise ValueError(f"{feed.topic} is no topic of {FRAMES}: it takes no pictures")
        self.feed = feed

    def send(self, frame: Frame) -> None:
        self.feed.send([Message(_key(frame), encode_frame(frame), 1)])

    def send_broken(self, frame: Frame) -> None:
        """Send half of a frame's message, which no reader can decode. For the simulator."""
        whole = encode_frame(frame)
        self.feed.send([Message(_key(frame), whole[: len(whole) // 2], 0)])

    def flush(self) -> None:
        self.feed.flush()


@dataclass(slots=True)
class DetectionCounts:
    """Outcomes of the pictures that a detector beside the cameras was given.

    `seen` were examined and `regions` found in them; `stale` repeated the camera's previous picture; `undecodable`
    (reason -> pictures) could not be read.
    """

    seen: int = 0
    stale: int = 0
    regions: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)


class RegionSender:
    """Implements `PictureSender` for a topic of regions: only examined pictures become messages, one reading each.

    The others are counted, and nothing of them is kept. `detector` is recorded in the journal as the one in use.
    """

    def __init__(self, feed: Feed, journal: Journal, detect: Detect, detector: Detector) -> None:
        if dataset_of(feed.topic) != REGIONS:
            raise ValueError(f"{feed.topic} is no topic of {REGIONS}: it takes no regions of a detector")
        self.feed = feed
        self.counts = DetectionCounts()
        self._journal = journal
        self._detect = detect
        self._detector = detector
        self._recent = RecentPictures()
        self._earliest = self._recorded = _NEVER

    def send(self, frame: Frame) -> None:
        if not frame.picture:
            return
        if self._recent.repeats(frame.camera, frame.picture, frame.start):
            self.counts.stale += 1
            return
        try:
            regions = self._detect(frame.picture)
        except BadPicture as error:
            self.counts.undecodable[error.reason] = self.counts.undecodable.get(error.reason, 0) + 1
            return
        self.counts.seen += 1
        self.counts.regions += len(regions)
        self._earliest = min(self._earliest, frame.start)
        self.feed.send([Message(key_of(frame), encode_regions(frame, regions, self.feed.feeder), 1)])

    def flush(self) -> None:
        self.feed.flush()
        if self._earliest < self._recorded:
            self._journal.record_detector(REGIONS, self._detector, self._earliest)
            self._recorded = self._earliest


def _key(frame: Frame) -> bytes:
    return b"%d" % frame.camera
