"""The options of a processor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eventlog.protocol import TopicPartition


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a processor.

    `commit_s`: seconds between commits while messages arrive; when none do, it commits at once. `accept_gap`: go on
    where the log no longer gives what was there, as after retention, counting it as lost. `accept_cut`: go on at the
    end of a log that was cut short, counting the open readings that it lost. `skip`: by partition, an offset of a batch
    that can't be read, to go on after it, counting its messages as lost; `skip_unreadable`: go on after every such
    batch. `until_caught_up`: end when the whole group has nothing left to read, instead of waiting for more; a member
    that left earlier would give its partitions to others, which read its open windows again. `at_once`: the most
    messages of one poll; `piece`: the most that are folded without looking whether it is time for the next poll.
    `instance`: the name under which the process joins its group, None for a member that nobody comes back for.
    `retention_ms`: by topic, how long the log keeps messages. `backoff_s`: the pauses after one, two and more failures
    of the store or the log in a row.
    """

    group: str
    commit_s: float = 1.0
    accept_gap: bool = False
    accept_cut: bool = False
    skip: Mapping[TopicPartition, int] = field(default_factory=dict)
    skip_unreadable: bool = False
    until_caught_up: bool = False
    at_once: int = 2_000
    instance: str | None = None
    piece: int = 2_000
    retention_ms: Mapping[str, int] = field(default_factory=dict)
    backoff_s: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0)
