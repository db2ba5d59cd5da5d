"""Logs are lines with their time, as text or as JSON; libraries add no lines of their own kind."""

import json
import logging

import pytest

from node.logs import LOGGED, set_up_logs


@pytest.fixture(autouse=True)
def restored():
    """Leaves logging as it was."""
    root = logging.getLogger()
    names = ("kafka", "httpx", "httpcore", "alembic", "uvicorn", "kafka.net.selector", "psycopg.pool")
    before = root.handlers[:], root.level, [(name, logging.getLogger(name).level) for name in names]
    yield
    root.handlers[:], root.level = before[0], before[1]
    for name, level in before[2]:
        logging.getLogger(name).setLevel(level)


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_of_json_holds_time_role_level_message_and_fields(capsys):
    set_up_logs("publish", "INFO", "json")
    logging.getLogger("federation").info("published %d windows", 3, extra={"request": "r1"})
    [line] = lines(capsys)
    content = json.loads(line)
    assert content.pop("time").endswith("Z")
    assert content.pop("process") > 0
    told = {"level": "INFO", "role": "publish", "logger": "federation", "message": "published 3 windows"}
    assert content == {**told, "request": "r1"}


def test_an_exception_stays_in_its_line_of_json(capsys):
    set_up_logs("pull", "INFO", "json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("unforeseen")
    [line] = lines(capsys)
    assert "ValueError: two\nlines" in json.loads(line)["exception"]


def test_a_line_of_text_begins_with_its_time_in_utc_and_ends_with_its_fields(capsys):
    set_up_logs("serve", "INFO", "text")
    told = {"name": "x", "msg": "answered", "levelname": "INFO", "levelno": 20, "created": 0.5, "request": "r1"}
    record = logging.makeLogRecord(told)
    logging.getLogger().handle(record)
    [line] = lines(capsys)
    assert line.startswith("1970-01-01T00:00:00.500Z serve[")
    assert line.endswith("] INFO answered request=r1")


def test_warnings_and_errors_are_counted_by_level(capsys):
    set_up_logs("serve", "INFO", "text")
    count = LOGGED.labels("warning")._value
    before = count.get()
    logging.getLogger("x").warning("once")
    logging.getLogger("x").info("not this")
    assert count.get() == before + 1
    assert len(lines(capsys)) == 2


def test_what_a_library_says_in_its_own_words_of_a_connection_is_left_out(capsys):
    set_up_logs("serve", "DEBUG", "text")
    logging.getLogger("psycopg.pool").warning("error connecting in 'sistercity api': ...")
    logging.getLogger("kafka.net.selector").warning("slow")
    logging.getLogger("httpcore").info("connect_tcp.started host=...")
    assert lines(capsys) == []
