"""How a process writes its log: text for people, or one JSON object a line for programs. Times are UTC."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from prometheus_client import Counter

LOGGED = Counter("sistercity_log_messages", "Lines of the log from WARNING on, by level", ["level"])

Format = Literal["text", "json"]

_LIBRARIES = {
    "kafka": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,  # at INFO it logs addresses
    "alembic": logging.WARNING,
    "uvicorn": logging.WARNING,
    # On a busy machine it warns of every tenth of a second in which nothing was sent.
    "kafka.net.selector": logging.ERROR,
    # Of a database that is away the heartbeat warns, once.
    "psycopg.pool": logging.CRITICAL,
}
"""What is logged of libraries, from which level on."""
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Attributes of every record; the others are fields that were given with `extra`."""


def set_up_logs(role: str, level: str, form: Format) -> None:
    """Write this process's log to standard error, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role) if form == "json" else TextLines(role))
    handler.addFilter(_without_kafka_traceback)
    root = logging.getLogger()
    root.handlers[:] = [handler, _Counting(logging.WARNING)]
    root.setLevel(level)
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(least, root.level))


class TextLines(logging.Formatter):
    """Time (UTC), role, process, level, message, and fields as `name=value`."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        head = f"{_time(record)} {self._role}[{record.process}] {record.levelname} {record.getMessage()}{fields}"
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


class JsonLines(logging.Formatter):
    """An object with time (UTC), level, role, process, logger, message, the record's fields, and its exception."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": _time(record),
            "level": record.levelname,
            "role": self._role,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


class _Counting(logging.Handler):
    """Counts warnings and errors."""

    def emit(self, record: logging.LogRecord) -> None:
        LOGGED.labels(record.levelname.lower()).inc()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _without_kafka_traceback(record: logging.LogRecord) -> bool:
    """kafka-python logs a lost connection with a traceback; one line is enough."""
    if record.name.startswith("kafka."):
        record.exc_info = None
    return True
