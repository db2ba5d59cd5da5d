import logging

from prometheus_client import REGISTRY

from ingest.live.heard import LastHeard

HOUR = 3_600_000


def silent() -> float | None:
    return REGISTRY.get_sample_value("sistercity_live_sources", {"state": "silent"})


def test_a_source_is_silent_after_its_own_time_and_said_to_be_once(caplog) -> None:
    caplog.set_level(logging.INFO)
    heard = LastHeard({"daily": 48 * HOUR, "hourly": 2 * HOUR, "rare": 0}, {"daily": 0, "hourly": 90 * HOUR}, 90 * HOUR)
    assert silent() == 1
    heard.show(91 * HOUR)
    assert caplog.messages == ["daily: silent since 1970-01-01 00:00 UTC"]
    heard.show(93 * HOUR)
    assert silent() == 2
    heard.hear("daily", 93 * HOUR)
    heard.show(93 * HOUR)
    assert silent() == 1
    assert caplog.messages[1:] == ["hourly: silent since 1970-01-04 18:00 UTC", "daily: delivers again"]


def test_a_source_that_was_never_heard_of_is_silent_some_time_after_the_beginning() -> None:
    heard = LastHeard({"new": HOUR}, {}, 1_000 * HOUR)
    assert silent() == 0
    heard.show(1_000 * HOUR + HOUR + 1)
    assert silent() == 1
