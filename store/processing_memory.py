"""`store.processing.Store` in memory, for tests of what is built on a store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from store.deliveries import Delivery
from store.detectors import Detector
from store.processing import (
    CameraCount,
    Cell,
    Claim,
    DeadLetter,
    Fenced,
    Place,
    Position,
    Progress,
    TopicChanged,
    check_topic,
)


class MemoryStore:
    """Keeps the promises of `Store` in memory, and shows what it holds."""

    def __init__(self) -> None:
        self.cells: dict[tuple[object, ...], tuple[Place, Cell]] = {}
        self.dead_letters: dict[tuple[Place, int, int], DeadLetter] = {}
        self.cameras: dict[tuple[int, int], CameraCount] = {}
        self.deliveries: dict[tuple[UUID, str, int], Delivery] = {}
        self.detectors: dict[tuple[str, Detector], int] = {}
        self._topics: dict[str, tuple[str, str, int]] = {}
        self._positions: dict[Place, tuple[int, Position]] = {}

    def register_topic(self, topic: str, cluster_id: str, topic_id: str, partitions: int) -> None:
        found = (cluster_id, topic_id, partitions)
        check_topic(topic, self._topics.setdefault(topic, found), found)
        for number in range(partitions):
            self._positions.setdefault(Place(topic, number), (0, Position()))

    def claim(self, places: Sequence[Place]) -> Mapping[Place, Claim]:
        for place in places:
            if place not in self._positions:
                raise TopicChanged(f"{place.topic} had no partition {place.partition} when its processing began")
            epoch, position = self._positions[place]
            self._positions[place] = (epoch + 1, position)
        return {place: Claim(*self._positions[place], self._settled(place)) for place in places}

    def common_event_time(self, topic: str) -> int | None:
        times = [position.max_event_time for place, (_, position) in self._positions.items() if place.topic == topic]
        return None if None in times else min((time for time in times if time is not None), default=None)

    def record_deliveries(self, run: UUID, deliveries: Sequence[Delivery]) -> None:
        self.deliveries |= {(run, one.topic, one.partition): one for one in deliveries}

    def record_detector(self, dataset: str, detector: Detector, since_ms: int) -> None:
        known = self.detectors.get((dataset, detector), since_ms)
        self.detectors[dataset, detector] = min(known, since_ms)

    def commit(self, progress: Sequence[Progress]) -> None:
        fenced = [one.place for one in progress if self._stands(one.place) != (one.epoch, one.expected_offset)]
        if fenced:
            raise Fenced(fenced)
        for one in progress:
            if not one.position.account.balanced() or one.position.resume_offset > one.position.next_offset:
                raise ValueError(f"a constraint is violated: {one.position}")
            _insert(self.cells, {_key(one.place, cell): (one.place, cell) for cell in one.cells})
            _insert(self.dead_letters, {(one.place, dead.offset, dead.row): dead for dead in one.dead_letters})
            for count in one.cameras:
                known = self.cameras.get((count.camera, count.hour))
                self.cameras[count.camera, count.hour] = count if known is None else known + count
            self._positions[one.place] = (one.epoch, replace(one.position))

    def position(self, place: Place) -> Position:
        """Where a partition stands."""
        return self._positions[place][1]

    def _settled(self, place: Place) -> frozenset[tuple[int, int]]:
        resume = self._positions[place][1].resume_offset
        return frozenset((offset, row) for at, offset, row in self.dead_letters if at == place and offset >= resume)

    def _stands(self, place: Place) -> tuple[int, int]:
        epoch, position = self._positions[place]
        return epoch, position.next_offset


def _insert(table: dict[Any, Any], rows: Mapping[Any, Any]) -> None:
    twice = table.keys() & rows.keys()
    if twice:
        raise ValueError(f"a primary key is violated: {twice}")
    table.update(rows)


def _key(place: Place, cell: Cell) -> tuple[object, ...]:
    return (cell.metric, cell.window_start, cell.area, cell.class_, place.topic)
