from ingest.cameras.sending import CameraFeed
from ingest.cameras.sources import Shot
from node.commands.ingest.shared import for_a_while
from schemas.catalogue import Metric
from store.resolution import Resolved
from tests.ingest.cameras.logs import BEGIN, register, sending


def test_a_register_that_is_loaded_meanwhile_is_noticed_within_a_minute():
    asked: list[int] = []

    def resolve(metric: Metric, at_ms: int) -> Resolved:
        if metric.name == "traffic.regions":
            asked.append(at_ms - BEGIN)
        return register(*("a" if len(asked) == 1 else "ab"))(metric, at_ms)

    feed: CameraFeed = sending(for_a_while(resolve)).feed
    for number in range(130):
        for source in "ab":
            feed.send(source, 1000, Shot(number, BEGIN + 1000 * number, b"p"))
    assert asked == [0, 60_000, 120_000]
    assert (feed.counts.pictures, feed.counts.refused) == (200, 60)


def test_what_the_register_says_of_the_next_seconds_still_counts():
    feed = sending(for_a_while(register("a", ends=BEGIN + 5_000))).feed
    for number in range(10):
        feed.send("a", 1000, Shot(number, BEGIN + 1000 * number, b"p"))
    assert (feed.counts.pictures, feed.counts.refused) == (5, 5)
