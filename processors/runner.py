"""The loop that owns poll, commit and rebalance. One thread, one process per core.

A partition is this process's from `assigned` to `revoked` or `lost`. Taking it over raises its epoch in the store, and
a commit names the epoch: a process that was frozen meanwhile is refused (R3). While the store is away, the process
keeps its partitions and what it has read of them, and reads no more (decision 0016).
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from threading import Event
from time import monotonic, time

from eventlog.protocol import Log, LogUnavailable, OffsetGone, Reader, TopicPartition, Unreadable
from processors import telemetry
from processors.brakes import TooManyDead, TooManyRejected
from processors.committing import Committer
from processors.fold import Fold, FoldFactory, ReplayDiffers
from processors.owned import Owned
from processors.plan import Plan
from processors.progress import left_to_others, show, show_stopped
from processors.reconnecting import wait_for_store
from processors.retention import RetentionWatch
from processors.stopping import ACCEPT_CUT, ACCEPT_GAP, Stopped
from schemas.topics import dataset_of
from store.processing import Position, Store, StoreUnavailable

logger = logging.getLogger(__name__)

_POLL_MS = 250
_WORK_S = 0.25
"""How long is worked between two polls: a member that does not poll is taken for dead (R15)."""
_PROOF_S = 5.0
"""Between two looks whether the store answers: a process without work would not notice that it is away."""
_STEADY_S = 60
"""A session that lasted this long ends a row of failures."""


class _JoinAgain(Exception):
    """Another process has taken partitions over that the group has assigned to this one."""


class Runner:
    """Folds topics of a log into a store until it is stopped. Implements `eventlog.protocol.Listener`.

    `after_commit` is called about every `commit_s` seconds, after a commit; it may raise `LogUnavailable` and
    `StoreUnavailable`, which are treated as those of a commit. `report` is told of every success, which is a turn in
    which log and store answered, as None, and of every failure in words. `clock` gives seconds, `now_ms` the wall clock
    in milliseconds since 1970, UTC; only the watch over the retention reads that.

    Without the log the process leaves the group, joins again, and reads every position anew. Without the store it stays
    in the group and waits.
    """

    def __init__(
        self,
        log: Log,
        store: Store,
        folds: FoldFactory,
        plan: Plan,
        *,
        after_commit: Callable[[], None] = lambda: None,
        report: Callable[[str | None], None] = lambda failure: None,
        clock: Callable[[], float] = monotonic,
        now_ms: Callable[[], int] = lambda: round(time() * 1000),
    ) -> None:
        self._log = log
        self._store = store
        self._folds = folds
        self._plan = plan
        self._after_commit = after_commit
        self._report = report
        self._clock = clock
        self._retention = RetentionWatch(store, plan.retention_ms, now_ms, clock)
        self._owned: dict[TopicPartition, Owned] = {}
        self._committer = Committer(store, self._owned)
        self._unclaimed: set[TopicPartition] = set()
        self._store_is_away = False
        self._unrecorded: dict[TopicPartition, tuple[int, int | None]] = {}
        self._stopped: dict[TopicPartition, str] = {}
        self._gave_up: dict[TopicPartition, str] = {}
        self._commit_due = self._proof_due = 0.0
        self._joined = False

    def run(self, stop: Event) -> None:
        """Process until `stop` is set or the plan is done; commits before it returns.

        Raises `Stopped` where an operator has to decide, and `store.processing.TopicChanged`.
        """
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
                self._report(str(error))
                stop.wait(pause)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """They stay paused until the next turn has claimed them: the log must not wait for the store here."""
        self._joined, self._unclaimed = True, self._unclaimed | set(partitions)
        return {}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            if not self._store_is_away:
                self._commit()
        except (StoreUnavailable, LogUnavailable) as error:
            logger.warning("gave partitions up without a last commit; the next owner reads them again: %s", error)
        self.lost(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._unclaimed.discard(partition)
            self._owned.pop(partition, None)
            self._stopped.pop(partition, None)
            self._unrecorded.pop(partition, None)
        self._retention.forget(partitions)
        show_stopped(self._folds.topics, self._stopped)

    def _register(self) -> None:
        for topic in self._folds.topics:
            facts = self._log.describe(topic)
            self._store.register_topic(topic, facts.cluster_id, facts.topic_id, facts.partitions)

    def _check_stopped(self) -> None:
        if self._plan.until_caught_up and self._gave_up:
            partition, reason = next(iter(self._gave_up.items()))
            raise Stopped(f"{len(self._gave_up)} partitions were stopped, {partition} among them: {reason}")

    def _session(self, stop: Event) -> bool:
        """One membership in the group, from joining to leaving. False if the process has to join again."""
        plan, self._joined = self._plan, False
        reader = self._log.reader(plan.group, self._folds.topics, self, plan.at_once, instance=plan.instance)
        try:
            done = False
            while not (done or stop.is_set()):
                try:
                    done = self._cycle(reader)
                except StoreUnavailable as error:
                    self._wait_for_store(reader, stop, error)
            self._pass_over(reader)
            if not self._store_is_away:
                self._commit()
            self._gave_up = dict(self._stopped)
            return True
        except _JoinAgain:
            return False
        except BaseException:
            self._owned.clear()  # so that leaving the group commits nothing more
            raise
        finally:
            reader.close()
            self._unclaimed.clear()
            self._store_is_away = False

    def _cycle(self, reader: Reader) -> bool:
        """Read a little, and commit if it is time to. Whether the plan is done. Raises `_JoinAgain`."""
        busy = self._turn(reader)
        due = self._clock() >= self._commit_due
        if busy and not due:
            return False
        self._pass_over(reader)
        self._commit_or_join_again()
        if not due and not self._plan.until_caught_up:
            return False
        self._after_commit()
        lag = self._observe(reader)
        self._prove()
        self._commit_due = self._clock() + self._plan.commit_s
        return lag == 0 and self._done(reader)

    def _prove(self) -> None:
        """Report a success now and then, once this process is a member of the group and the store answers."""
        if self._joined and self._clock() >= self._proof_due:
            self._store.connect()
            self._report(None)
            self._proof_due = self._clock() + _PROOF_S

    def _wait_for_store(self, reader: Reader, stop: Event, error: StoreUnavailable) -> None:
        """Stay in the group, and read no more, until the store takes what there is to commit. Raises `_JoinAgain`."""

        def settle() -> None:
            self._commit_or_join_again()
            self._claim(reader)

        self._store_is_away = True
        self._report(str(error))
        if wait_for_store(self._store, reader, error, settle, backoff_s=self._plan.backoff_s, stop=stop):
            self._store_is_away = False
            for partition in self._owned:
                reader.resume(partition)

    def _claim(self, reader: Reader) -> None:
        """Take over what the group has assigned, and begin to read it."""
        if not self._unclaimed:
            return
        claimed = self._store.claim(sorted(self._unclaimed))
        for partition in sorted(self._unclaimed):
            claim = claimed[partition]
            self._owned[partition] = Owned(claim, self._fold(partition, claim.position), claim.position)
            reader.seek(partition, claim.position.resume_offset)
            reader.resume(partition)
        self._retention.moved({at: claimed[at].position.next_offset for at in self._unclaimed})
        logger.info("took over %d partitions", len(self._unclaimed))
        self._unclaimed.clear()

    def _turn(self, reader: Reader) -> bool:
        """Poll once, then fold and close windows for a moment; False if there was nothing to do."""
        self._claim(reader)
        busy = self._busy()
        for partition in busy:
            reader.pause(partition)
        try:
            polled = reader.poll(0 if busy else _POLL_MS)
        except OffsetGone as gone:
            self._gone(reader, gone)
            return False
        except Unreadable as unreadable:
            self._unreadable(reader, unreadable)
            return False
        begun_again = self._compare(reader)
        for partition, records in polled.items():
            if partition in self._owned and partition not in begun_again:
                self._owned[partition].waiting = [*self._owned[partition].waiting, *records]
        self._work(reader)
        return bool(polled) or bool(self._busy())

    def _busy(self) -> Sequence[TopicPartition]:
        return [partition for partition, owned in self._owned.items() if owned.busy]

    def _work(self, reader: Reader) -> None:
        """Fold and close windows, one partition after the other, until it is done or time for the next poll (R15)."""
        until = self._clock() + _WORK_S
        while busy := self._busy():
            self._work_on(reader, busy[0])
            if self._clock() >= until:
                break

    def _work_on(self, reader: Reader, partition: TopicPartition) -> None:
        owned = self._owned[partition]
        try:
            with telemetry.PIECE_SECONDS.labels(dataset_of(partition.topic)).time():
                owned.work(self._plan.piece)
        except (TooManyDead, TooManyRejected) as error:
            self._stop(reader, partition, str(error))
        except ReplayDiffers as error:
            self._differs(reader, partition, error)
        else:
            if not owned.busy:
                self._owned[partition] = self._owned.pop(partition)  # the others go first next time
                reader.resume(partition)

    def _pass_over(self, reader: Reader) -> None:
        """Let the folds go on over what the reader has passed without giving a record (R17)."""
        for partition, owned in list(self._owned.items()):
            if owned.busy:
                continue
            try:
                owned.fold.pass_over(reader.position(partition))
            except ReplayDiffers as error:
                self._differs(reader, partition, error)

    def _stop(self, reader: Reader, partition: TopicPartition, reason: str, cut_end: int | None = None) -> None:
        """Read no more of this partition, and drop what was not committed of it; the others go on (R14).

        The next commit records it: the store may be away.
        """
        self._unrecorded[partition] = (self._owned.pop(partition).claim.epoch, cut_end)
        self._stopped[partition] = reason
        reader.pause(partition)
        show_stopped(self._folds.topics, self._stopped)
        logger.error("stopped %s: %s", partition, reason)

    def _differs(self, reader: Reader, partition: TopicPartition, error: ReplayDiffers) -> None:
        """Reading the log again did not give what it gave before: stop, or count what is missing as lost (R5)."""
        owned = self._owned[partition]
        if not self._plan.accept_gap:
            self._stop(reader, partition, f"{error}. {ACCEPT_GAP}")
            return
        logger.error("%s: %s; going on, the missing readings are lost", partition, error)
        self._begin_again(reader, partition, owned.start.resume_offset)

    def _begin_again(self, reader: Reader, partition: TopicPartition, offset: int, *, gap: bool = True) -> None:
        """Read a partition from `offset` on, mostly with a gap before the first record that was not committed."""
        owned = self._owned[partition]
        owned.fold, owned.waiting = self._fold(partition, owned.start, gap=gap), ()
        reader.seek(partition, offset)
        reader.resume(partition)

    def _compare(self, reader: Reader) -> Collection[TopicPartition]:
        """Find the new partitions whose log ends, or ended, before what was committed of it; returns these (R5)."""
        new = [partition for partition, owned in self._owned.items() if not owned.compared]
        cut = []
        for partition, end in (reader.ends(new) if new else {}).items():
            owned = self._owned[partition]
            owned.compared = True
            if owned.least_end(end) < owned.committed.next_offset:
                self._cut_short(reader, partition, end)
                cut.append(partition)
        return cut

    def _cut_short(self, reader: Reader, partition: TopicPartition, end: int) -> None:
        """The log lost messages that were processed: stop its partition, or go on at the end that it had then (R5)."""
        owned = self._owned[partition]
        owned.compared, end = True, owned.least_end(end)
        reason = owned.cut_short(end)
        if not self._plan.accept_cut:
            self._stop(reader, partition, f"{reason}. {ACCEPT_CUT}", cut_end=end)
            return
        logger.error("%s: %s; going on there", partition, reason)
        owned.cut = end
        self._begin_again(reader, partition, owned.start.resume_offset)

    def _unreadable(self, reader: Reader, unreadable: Unreadable) -> None:
        """A batch can't be read: stop its partition, or go on after it if that was accepted (R14)."""
        partition, after = unreadable.partition, unreadable.next_offset
        owned = self._owned.get(partition)
        if owned is None:
            return  # fenced or stopped: this process no longer reads it
        known = after <= owned.fold.next_offset  # a replay meets what was skipped before
        accepted = unreadable.offset <= self._plan.skip.get(partition, -1) < after
        if not (known or accepted or self._plan.skip_unreadable):
            way_on = (
                f"`--skip {partition.topic} {partition.partition} {unreadable.offset}` goes on after these messages"
            )
            self._stop(reader, partition, f"{unreadable}. {way_on}; they are then counted as lost")
            return
        if not known:
            logger.error("%s; going on at %d, these messages are lost", unreadable, after)
            owned.fold.skip_to(after)
        reader.seek(partition, after)
        reader.resume(partition)

    def _gone(self, reader: Reader, gone: OffsetGone) -> None:
        """The log no longer holds the next offset: stop its partition, or note the gap and go on after it (R5)."""
        owned = self._owned.get(gone.partition)
        if owned is None:
            reader.pause(gone.partition)  # fenced or stopped: this process no longer reads it
        elif owned.start.next_offset > gone.end:
            self._cut_short(reader, gone.partition, gone.end)
        elif gone.offset > gone.end:
            logger.error("%s: nothing that was committed is lost; reading again", gone)
            self._begin_again(reader, gone.partition, owned.start.resume_offset, gap=owned.cut is not None)
        elif not self._plan.accept_gap:
            self._stop(
                reader, gone.partition, f"{gone}: retention took messages before they were processed. {ACCEPT_GAP}"
            )
        else:
            logger.error("%s: going on at %d, the rest is lost", gone, gone.earliest)
            self._begin_again(reader, gone.partition, gone.earliest)

    def _fold(self, partition: TopicPartition, position: Position, *, gap: bool = False) -> Fold:
        return self._folds.create(partition.topic, position, partial(self._store.settled, partition), gap=gap)

    def _commit(self) -> bool:
        """Commit the step of every partition, and record which were stopped.

        False if another process owns some partitions by now: the group may still assign them to this process, which
        has to join again, or no process would read them.
        """
        whole = self._committer.commit()
        for partition, (epoch, cut_end) in list(self._unrecorded.items()):
            self._store.record_stop(partition, epoch, self._stopped[partition], cut_end)
            del self._unrecorded[partition]
        return whole

    def _commit_or_join_again(self) -> None:
        """`_commit`; raises `_JoinAgain`."""
        if not self._commit():
            raise _JoinAgain

    def _observe(self, reader: Reader) -> int:
        """Set the gauges of the partitions, and leave their positions with the log for its own tools.

        Returns how many messages are left to read in them.
        """
        following = {partition: owned.committed.next_offset for partition, owned in self._owned.items()}
        reader.note(following)
        self._retention.moved(following)
        ends = reader.ends((*self._owned, *self._stopped))
        self._retention.look(reader, ends)
        show(self._folds.topics, self._owned, ends)
        return sum(max(ends[partition] - reader.position(partition), 0) for partition in self._owned)

    def _done(self, reader: Reader) -> bool:
        """Whether the plan is done, with nothing left to read in the partitions of this process."""
        if not self._plan.until_caught_up or not self._joined or self._unclaimed or self._busy():
            return False
        return not left_to_others(self._store, reader, self._folds.topics, self._owned.keys() | self._stopped.keys())
