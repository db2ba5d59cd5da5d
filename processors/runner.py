"""The loop that owns poll, commit and rebalance. One thread, one process per core.

A partition is this process's from `assigned` to `revoked` or `lost`. Taking it over raises its epoch in the store, and
a commit names the epoch: whoever was frozen meanwhile is refused (R3). After a failed commit nothing in memory is
believed: the process leaves the group, joins again, and reads every position anew.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic

from errors import OperatorError
from eventlog.protocol import Log, LogUnavailable, OffsetGone, Reader, Record, TopicPartition
from processors import telemetry
from processors.fold import Fold, Folds, ReplayDiffers, Step, TooManyDead
from schemas.topics import dataset_of
from store.processing import Account, Claim, Fenced, Place, Position, Progress, Store, StoreUnavailable

logger = logging.getLogger(__name__)

_POLL_MS = 250
_STEADY_S = 60
"""A session that lasted this long ends a row of failures."""


class Stopped(OperatorError):
    """Processing can't go on without a person; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a processor is to go about it.

    `commit_s` seconds between commits while messages come in, when none do it commits at once; `accept_gap` goes on
    past offsets that retention has taken, counting them as lost; `until_caught_up` ends when nothing is left to read,
    instead of waiting for more; `at_once` is the most messages that one poll brings; `backoff_s` are the pauses after
    one, two and more failures of the store or the log in a row.
    """

    group: str
    commit_s: float = 1.0
    accept_gap: bool = False
    until_caught_up: bool = False
    at_once: int = 2_000
    backoff_s: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class _Owned:
    """A partition that is this process's: how it was taken over, its fold, and the position last committed."""

    claim: Claim
    fold: Fold
    committed: Position


class Runner:
    """Folds topics of a log into a store until told to stop."""

    def __init__(
        self, log: Log, store: Store, folds: Folds, plan: Plan, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._log = log
        self._store = store
        self._folds = folds
        self._plan = plan
        self._clock = clock
        self._owned: dict[Place, _Owned] = {}
        self._stopped: dict[Place, str] = {}
        self._gave_up: dict[Place, str] = {}
        self._commit_due = 0.0

    def run(self, stop: Event) -> None:
        """Process until `stop` is set or the plan is done; commits before it returns.

        Raises `Stopped` where a person has to decide, and `store.processing.TopicChanged`.
        """
        try:
            self._run(stop)
        finally:
            self._folds.close()

    def _run(self, stop: Event) -> None:
        failures = -1
        while not stop.is_set():
            started = self._clock()
            try:
                self._register()
                if self._session(stop):
                    self._check_stopped()
                    return
                failures = -1
                stop.wait(self._plan.backoff_s[0])
            except (StoreUnavailable, LogUnavailable) as error:
                failures = failures + 1 if self._clock() - started < _STEADY_S else 0
                pause = self._plan.backoff_s[min(failures, len(self._plan.backoff_s) - 1)]
                logger.warning("%s; nothing uncommitted is kept, trying again in %.1f s", error, pause)
                stop.wait(pause)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        claimed = self._store.claim([Place(*one) for one in partitions])
        for place, claim in claimed.items():
            self._owned[place] = _Owned(claim, self._fold(place, claim.position, claim), claim.position)
        if partitions:
            logger.info("took over %d partitions", len(partitions))
        return {TopicPartition(*place): claim.position.resume_offset for place, claim in claimed.items()}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            self._commit()
        except (StoreUnavailable, LogUnavailable) as error:
            logger.warning("gave partitions up without a last commit; the next owner reads them again: %s", error)
        self.lost(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        for one in partitions:
            self._owned.pop(Place(*one), None)
            self._stopped.pop(Place(*one), None)
        self._show_stopped()

    def _register(self) -> None:
        for topic in self._folds.topics:
            facts = self._log.describe(topic)
            self._store.register_topic(topic, facts.cluster_id, facts.topic_id, facts.partitions)

    def _check_stopped(self) -> None:
        if self._plan.until_caught_up and self._gave_up:
            place, reason = next(iter(self._gave_up.items()))
            raise Stopped(f"{len(self._gave_up)} partitions were stopped, {place} among them: {reason}")

    def _session(self, stop: Event) -> bool:
        """One membership in the group, from joining to leaving; whether that was the end, or it has to join again."""
        reader = self._log.reader(self._plan.group, self._folds.topics, self, self._plan.at_once)
        try:
            while not stop.is_set():
                busy = self._turn(reader)
                due = self._clock() >= self._commit_due
                if busy and not due:
                    continue
                if not self._commit():
                    return False
                if due or self._plan.until_caught_up:
                    self._folds.keep_time()
                    lag = self._observe(reader)
                    self._commit_due = self._clock() + self._plan.commit_s
                    if self._plan.until_caught_up and lag == 0:
                        break
            self._commit()
            self._gave_up = dict(self._stopped)
            return True
        except BaseException:
            self._owned.clear()  # so that leaving the group commits nothing more
            raise
        finally:
            reader.close()

    def _turn(self, reader: Reader) -> bool:
        """Poll once and fold what came; whether anything did."""
        try:
            polled = reader.poll(_POLL_MS)
        except OffsetGone as gone:
            self._gone(reader, gone)
            return False
        for partition, records in polled.items():
            place = Place(*partition)
            if place in self._owned:
                self._feed(reader, place, records)
        return bool(polled)

    def _feed(self, reader: Reader, place: Place, records: Sequence[Record]) -> None:
        try:
            with telemetry.BATCH_SECONDS.labels(dataset_of(place.topic)).time():
                self._owned[place].fold.feed(records)
        except TooManyDead as error:
            # What this partition had not committed is dropped: a later version may be able to read it.
            del self._owned[place]
            self._stopped[place] = str(error)
            reader.pause(TopicPartition(*place))
            self._show_stopped()
            logger.error("stopped %s partition %d: %s", place.topic, place.partition, error)
            if not self._owned:
                raise Stopped(f"every partition is stopped, the last was {place}: {error}") from error
        except ReplayDiffers as error:
            raise Stopped(f"{place.topic} partition {place.partition}: {error}") from error

    def _show_stopped(self) -> None:
        for topic in self._folds.topics:
            count = sum(place.topic == topic for place in self._stopped)
            telemetry.STOPPED.labels(dataset_of(topic)).set(count)

    def _gone(self, reader: Reader, gone: OffsetGone) -> None:
        """The log no longer holds what comes next: stop, or note the gap and go on behind it (R5)."""
        place = Place(*gone.partition)
        owned = self._owned.get(place)
        if owned is None:
            reader.pause(gone.partition)  # fenced or stopped: not this process's to read any more
            return
        if gone.offset > gone.end or owned.committed.next_offset > gone.end:
            raise Stopped(f"{gone}: the log was cut short or replaced by another; its stored offsets do not fit it")
        if not self._plan.accept_gap:
            raise Stopped(
                f"{gone}: retention took messages before they were processed. Start with --accept-gap to go on behind"
                " them; they are then counted as lost and their windows marked incomplete"
            )
        logger.error("%s: going on at %d, the rest is lost", gone, gone.earliest)
        owned.fold = self._fold(place, owned.committed, owned.claim, gap=True)
        if gone.earliest == gone.end:  # nothing is left whose arrival would tell of the gap
            owned.fold.skip_to(gone.end)
        reader.seek(gone.partition, gone.earliest)

    def _fold(self, place: Place, position: Position, claim: Claim, *, gap: bool = False) -> Fold:
        return self._folds.fold(place.topic, place.partition, position, claim.settled, gap=gap)

    def _commit(self) -> bool:
        """Commit what every partition has come to. Partitions that another process owns by now are let go.

        False if there were any: the group may still count them as this process's, so it has to join again, or nobody
        would read them.
        """
        fenced_off = False
        steps = {place: step for place, owned in self._owned.items() if (step := owned.fold.step())}
        while steps:
            try:
                with telemetry.COMMIT_SECONDS.labels(dataset_of(next(iter(steps)).topic)).time():
                    self._store.commit([self._progress(place, step) for place, step in steps.items()])
                break
            except Fenced as fenced:
                logger.warning("another process took over: %s", fenced)
                fenced_off = True
                for place in fenced.places:
                    telemetry.FENCED.labels(dataset_of(place.topic)).inc()
                    del steps[place], self._owned[place]
        for place, step in steps.items():
            _count(place, self._owned[place].committed.account, step)
            self._owned[place].committed = step.position
        return not fenced_off

    def _progress(self, place: Place, step: Step) -> Progress:
        owned = self._owned[place]
        return Progress(
            place,
            owned.claim.epoch,
            owned.committed.next_offset,
            step.position,
            step.cells,
            step.dead_letters,
            step.cameras,
        )

    def _observe(self, reader: Reader) -> int | None:
        """Show where the partitions stand, and leave the positions with the log for its own tools.

        Returns how many messages are left to read, or None while no partition is this process's.
        """
        partitions = [TopicPartition(*place) for place in self._owned]
        reader.note({one: self._owned[Place(*one)].committed.next_offset for one in partitions})
        for topic in self._folds.topics:
            dataset = dataset_of(topic)
            open_here = sum(owned.fold.buffered for place, owned in self._owned.items() if place.topic == topic)
            telemetry.OPEN.labels(dataset).set(open_here)
        ends = reader.ends(partitions)
        for one, end in ends.items():
            position = self._owned[Place(*one)].committed
            labels = (dataset_of(one.topic), str(one.partition))
            telemetry.LAG.labels(*labels).set(end - position.next_offset)
            if position.max_event_time is not None:
                telemetry.WATERMARK.labels(*labels).set(position.max_event_time / 1000)
        left = [end - self._owned[Place(*one)].fold.next_offset for one, end in ends.items()]
        return sum(left) if left else None


def _count(place: Place, before: Account, step: Step) -> None:
    dataset, after = dataset_of(place.topic), step.position.account
    for outcome in ("decoded", "dead", "converted", "lost_messages"):
        telemetry.MESSAGES.labels(dataset, outcome).inc(getattr(after, outcome) - getattr(before, outcome))
    for outcome in ("aggregated", "duplicate", "late", "rejected", "lost"):
        telemetry.READINGS.labels(dataset, outcome).inc(getattr(after, outcome) - getattr(before, outcome))
    for letter in step.dead_letters:
        telemetry.DEAD_LETTERS.labels(dataset, letter.reason).inc()
    telemetry.CELLS.labels(dataset).inc(len(step.cells))
    telemetry.WINDOWS.labels(dataset).inc(len({(cell.metric, cell.window_start) for cell in step.cells}))
