"""What doctor says of the database's size, and of the audit's age."""

import pytest

from node.doctor.growth import Growth, judge_growth
from store.pruning import DatabaseSize

NOW = 1_795_000_000_000
DAY = 86_400_000
GB = 10**9


def judged(gained_gb: float, budget_gb: float | None, oldest_days: int | None = None, audit_days: int = 730):
    """After six days in which the database has gained so much, to 10 GB."""
    size = DatabaseSize(10 * GB, NOW - 6 * DAY, int((10 - gained_gb) * GB))
    oldest = None if oldest_days is None else NOW - oldest_days * DAY
    return list(judge_growth(Growth(size, oldest), NOW, budget_gb=budget_gb, audit_days=audit_days))


@pytest.mark.parametrize(
    ("gained", "budget", "level", "words"),
    [
        (3.0, None, "ok", "10.00 GB, +500.0 MB a day; SISTERCITY_DATABASE_BUDGET_GB"),
        (3.0, 12.0, "ok", "reached in 4 days"),
        (3.0, 11.5, "warn", "reached in 3.0 days: make room"),
        (0.0, 10.1, "ok", "it may take 10.1 GB"),
        (-3.0, 10.1, "ok", "-500.0 MB a day; it may take 10.1 GB"),
        (3.0, 10.0, "fail", "and takes more: make room"),
    ],
)
def test_three_days_before_the_room_is_taken_it_is_a_warning(gained, budget, level, words) -> None:
    [found] = judged(gained, budget)
    assert found.level == level
    assert words in found.words


def test_a_database_without_a_sample_has_no_growth() -> None:
    [found] = judge_growth(Growth(DatabaseSize(10 * GB, None, None), None), NOW, budget_gb=10.1, audit_days=1)
    assert (found.level, found.words) == ("ok", "10.00 GB; it may take 10.1 GB")


@pytest.mark.parametrize(
    ("oldest", "kept", "level", "words"),
    [
        (800, 0, "ok", "all lines are kept, the oldest for 800 days"),
        (731, 730, "ok", "lines are kept for 730 days; the oldest is 731 days old"),
        (733, 730, "warn", "does `sistercity publish` run"),
    ],
)
def test_lines_of_the_audit_that_should_be_gone_are_a_warning(oldest, kept, level, words) -> None:
    _, found = judged(0, None, oldest, kept)
    assert (found.level, found.what) == (level, "audit")
    assert words in found.words
