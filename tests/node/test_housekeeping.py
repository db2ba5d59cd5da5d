"""Old dead letters are removed a part at a time, and at once again while there are more."""

from node.housekeeping import PRUNE_AT_ONCE, Housekeeping


class Letters:
    """Counts how often it is asked to remove some."""

    def __init__(self, old: int) -> None:
        self.old = old
        self.asked = 0

    def prune(self, days: int, most: int) -> int:
        self.asked += 1
        removed = min(self.old, most)
        self.old -= removed
        return removed


def test_parts_follow_each_other_until_none_is_left_and_then_once_a_minute():
    letters, now = Letters(PRUNE_AT_ONCE + 1), [0.0]
    tidy = Housekeeping(letters.prune, 30, clock=lambda: now[0])
    for _ in range(5):
        tidy()
    assert (letters.old, letters.asked) == (0, 2)
    now[0] = 61.0
    tidy()
    assert letters.asked == 3


def test_nothing_is_removed_with_0_days():
    letters = Letters(5)
    Housekeeping(letters.prune, 0)()
    assert (letters.old, letters.asked) == (5, 0)
