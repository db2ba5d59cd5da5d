from collections.abc import Iterator

import pytest

from store.database import Connection, connect
from store.push_answers import PushAnswer, find_answers, keep_answers, prune_answers

pytestmark = pytest.mark.services

FIRST, SECOND = PushAnswer(b"1" * 32, "[]", 0), PushAnswer(b"2" * 32, '[[1, "time"]]', 3)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as opened:
        yield opened


def age(connection: Connection, key: str, hours: int) -> None:
    words = "UPDATE push_answers SET answered_at = now() - make_interval(hours => %s) WHERE key = %s"
    connection.execute(words, (hours, key))


def test_the_first_answer_under_a_key_stays_for_a_day(connection: Connection) -> None:
    keep_answers(connection, "a", [("k", FIRST), ("l", SECOND)])
    keep_answers(connection, "a", [("k", SECOND)])
    assert find_answers(connection, "a", ["k", "l", "m"]) == {"k": FIRST, "l": SECOND}
    assert find_answers(connection, "b", ["k"]) == {}
    age(connection, "k", 25)
    assert find_answers(connection, "a", ["k"]) == {}
    keep_answers(connection, "a", [("k", SECOND)])
    assert find_answers(connection, "a", ["k"]) == {"k": SECOND}


def test_what_is_too_old_and_the_oldest_of_too_many_is_forgotten(connection: Connection) -> None:
    keep_answers(connection, "a", [(str(hours), FIRST) for hours in range(6)])
    keep_answers(connection, "b", [("k", FIRST)])
    for hours in range(6):
        age(connection, str(hours), hours * 6)
    assert prune_answers(connection, "a", 10) == 2
    assert prune_answers(connection, "a", 2) == 2
    assert set(find_answers(connection, "a", [str(hours) for hours in range(6)])) == {"0", "1"}
    assert prune_answers(connection, "b") == 0
