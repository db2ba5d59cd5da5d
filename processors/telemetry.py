"""The metrics of a processor for Prometheus. Labels say nothing of areas, sources or cameras (P2)."""

from contextlib import suppress

from prometheus_client import Counter, Gauge, Histogram

from schemas.topics import dataset_of, generation_of
from store.processing import Account, Step

MESSAGES = Counter("sistercity_messages", "Messages accounted for, by outcome", ["dataset", "outcome"])
READINGS = Counter("sistercity_readings", "Readings accounted for, by outcome", ["dataset", "outcome"])
DEAD_LETTERS = Counter("sistercity_dead_letters", "Dead messages and rejected rows, by reason", ["dataset", "reason"])
PICTURES = Counter(
    "sistercity_pictures",
    "Pictures that cameras owed, as `detect` met them: seen, undecodable, stale, missing",
    ["outcome"],
)
OPEN = Gauge("sistercity_open_readings", "Readings in open windows of this process", ["dataset"])
OPEN_MEMORY = Gauge("sistercity_open_memory_bytes", "Memory of open windows of this process", ["dataset"])
OPEN_DISK = Gauge("sistercity_open_disk_bytes", "Files of open windows of this process", ["dataset"])
CELLS = Counter("sistercity_cells", "Cells written: closed windows, by area and class", ["dataset"])
WINDOWS = Counter("sistercity_windows_closed", "Windows closed, per partition and metric", ["dataset"])
LAG = Gauge("sistercity_lag_messages", "Messages not yet accounted for", ["dataset", "partition"])
WATERMARK = Gauge(
    "sistercity_latest_event_seconds",
    "Event time that all active feeders have reached, Unix time",
    ["dataset", "partition"],
)
RETENTION = Gauge(
    "sistercity_retention_margin_ratio",
    "Share of its retention left to the oldest unread message",
    ["dataset", "partition"],
)
STOPPED = Gauge("sistercity_partitions_stopped", "Partitions that this process stopped reading", ["dataset"])
FENCED = Counter("sistercity_fenced", "Commits refused because another process had taken over", ["dataset"])
PIECE_SECONDS = Histogram(
    "sistercity_piece_seconds", "Folding some messages, or closing a piece of a window", ["dataset"]
)
COMMIT_SECONDS = Histogram("sistercity_commit_seconds", "One commit to PostgreSQL", ["dataset"])


def place(topic: str, partition: int) -> tuple[str, str]:
    """The labels of a partition: those of a dataset's later topics are told apart by their generation."""
    generation = generation_of(topic)
    return dataset_of(topic), str(partition) if generation == 1 else f"v{generation}-{partition}"


def count(topic: str, before: Account, step: Step) -> None:
    """Count what a partition's step has added to its account."""
    dataset, after = dataset_of(topic), step.position.account
    for outcome in ("decoded", "dead", "converted", "lost_messages"):
        MESSAGES.labels(dataset, outcome).inc(getattr(after, outcome) - getattr(before, outcome))
    for outcome in ("aggregated", "duplicate", "late", "rejected", "lost"):
        READINGS.labels(dataset, outcome).inc(getattr(after, outcome) - getattr(before, outcome))
    for letter in step.dead_letters:
        DEAD_LETTERS.labels(dataset, letter.reason).inc()
    for camera in step.cameras:
        for outcome in ("seen", "undecodable", "stale", "missing"):
            PICTURES.labels(outcome).inc(getattr(camera, outcome))
    CELLS.labels(dataset).inc(len(step.cells))
    WINDOWS.labels(dataset).inc(len({(cell.metric, cell.window_start) for cell in step.cells}))


def forget(topic: str, partition: int) -> None:
    """Show a partition no longer: another process reads it."""
    for gauge in (LAG, WATERMARK, RETENTION):
        with suppress(KeyError):
            gauge.remove(*place(topic, partition))
