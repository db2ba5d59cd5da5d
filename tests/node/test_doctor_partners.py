"""What doctor says of partners."""

from node.doctor.partners import judge_partners
from store.retention import KeptCity


def test_what_is_kept_longer_than_agreed_is_a_failure() -> None:
    kept = [KeptCity("hue", "h", 365, 0), KeptCity("linz", "l", 30, 1200)]
    _, found = judge_partners([], [], kept)
    assert (found.level, found.what) == ("fail", "retention linz")
    assert found.words.startswith("1,200 bodies are older than the 30 days for which they may be kept")
