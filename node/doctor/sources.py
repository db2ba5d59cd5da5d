"""The sources of `ingest run`: folders, profiles, ids in the register, and when they last delivered."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from node.doctor.finding import Finding

if TYPE_CHECKING:
    from ingest.live.sources_file import MqttSource, PollSource, TopicSource
    from store.database import DatabaseUrl

_HOUR_MS = 3_600_000
_AT_ONCE = 50
"""Sources that are asked at a time."""


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source of the list; `path` is its folder, if it has one.

    `unknown_id` is the id that the register does not have, if it needs one. `last_ms` is when it last delivered,
    milliseconds since 1970, or None where it has not, or that is not recorded; `silent_ms` is 0 for never silent. Of
    a source that is asked, `answers` says what it just answered, and `fault` why that is no answer.
    """

    name: str
    path: Path | None
    may_read: bool
    may_write: bool
    unknown_id: str | None
    last_ms: int | None
    silent_ms: int
    is_recorded: bool
    answers: str = ""
    fault: str = ""


def read_sources(
    file: Path, database_url: "DatabaseUrl", limit_s: int, now_ms: int, proxy: str | None = None
) -> Sequence[ListedSource]:
    """Read a list of sources and what is known of each. `limit_s`: seconds for each statement, and for a source that
    is asked, through `proxy` if it is on another machine.

    Raises `ingest.live.sources_file.SourcesFileError` and others for a list that can't be used, and psycopg's errors.
    """
    from ingest.live.sources_file import FolderSource, MqttSource, PollSource, TableContent, TopicSource, load_sources
    from ingest.register import stored_register
    from schemas.catalogue import catalogue
    from store.arrivals import last_arrivals
    from store.inspection import read_only_connection

    found: list[ListedSource] = []
    every = load_sources(file).every
    polls = [source for source in every if isinstance(source, PollSource)]
    topics = [source for source in every if isinstance(source, TopicSource)]
    brokers = [source for source in every if isinstance(source, MqttSource)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answered = threads.map(lambda source: _asked(source, limit_s, proxy, now_ms), polls)
        described = threads.map(lambda source: _described(source, limit_s), topics)
        let_in = threads.map(lambda source: _let_in(source, limit_s), brokers)
        names = [*(each.name for each in polls), *(each.name for each in topics), *(each.name for each in brokers)]
        asked = dict(zip(names, (*answered, *described, *let_in), strict=True))
    with read_only_connection(database_url, limit_s) as connection:
        last: Mapping[str, int] = last_arrivals(connection)
        for source in every:
            unknown = None
            if isinstance(source.content, TableContent) and source.content.source is not None:
                metric = catalogue()[source.content.profile.metric]
                register = stored_register(connection, lambda: now_ms, source.content.source)
                if register.find([metric], source.content.source, now_ms) is None:
                    unknown = f"{source.content.source} (for {metric.name})"
            path = source.path if isinstance(source, FolderSource) else None
            answers, fault = asked.get(source.name, ("", ""))
            may_read, may_write = (path is None or os.access(path, mode | os.X_OK) for mode in (os.R_OK, os.W_OK))
            found.append(
                ListedSource(
                    *(source.name, path, may_read, may_write, unknown, last.get(source.name)),
                    *(source.silent_ms, isinstance(source, FolderSource | PollSource), answers, fault),
                )
            )
    return found


def _asked(source: "PollSource", limit_s: int, proxy: str | None, now_ms: int) -> tuple[str, str]:
    """What a source answers, and else why that is no answer."""
    from ingest.live.answers import PollFailed
    from ingest.live.poll import ask_once

    try:
        return ask_once(source.address, source.connecting(proxy), now_ms, limit_s), ""
    except PollFailed as error:
        return "", str(error)


def _described(source: "TopicSource", limit_s: int) -> tuple[str, str]:
    """What the cluster of a topic says of it, and else what is wrong with it, or with its registry of schemas."""
    from errors import OperatorError
    from ingest.live.topics.keys import with_keys
    from node import wiring

    address = source.address
    try:
        facts = wiring.log_of_others(address.bootstrap, address.security, limit_s).describe(address.topic)
        if source.values is not None:
            source.values.ask()
    except OperatorError as error:
        return "", with_keys(error)
    return f"its topic has {facts.partitions} partitions", ""


def _let_in(source: "MqttSource", limit_s: int) -> tuple[str, str]:
    """What the broker of a source says, and else why it does not let us in."""
    from ingest.live.mqtt import BrokerFailed, ask_broker

    try:
        return ask_broker(source.broker, limit_s), ""
    except (BrokerFailed, OSError) as error:  # a file of TLS that cannot be used
        return "", str(error)


def judge_sources(found: Sequence[ListedSource], now_ms: int) -> Iterator[Finding]:
    """A finding for each source. Pure."""
    for source in found:
        yield _judge(source, now_ms)


def _judge(source: ListedSource, now_ms: int) -> Finding:
    what = f"source {source.name}"
    if not source.may_read or not source.may_write:
        may_not = "read" if not source.may_read else "write"
        return Finding(
            "fail", what, f"this user may not {may_not} in {source.path}: rejects are written beside the files"
        )
    if source.unknown_id is not None:
        words = "the register does not have it today: every reading will be refused; load it"
        return Finding("fail", what, f"{source.unknown_id}: {words}")
    if source.fault:
        return Finding("fail", what, source.fault)
    and_answers = f"; {source.answers}" if source.answers else ""
    if source.last_ms is None:
        words = "has delivered nothing yet" if source.is_recorded else "only `ingest run` knows when it last delivered"
        return Finding("ok", what, words + and_answers)
    hours = (now_ms - source.last_ms) // _HOUR_MS
    if source.silent_ms and now_ms - source.last_ms > source.silent_ms:
        limit = source.silent_ms // _HOUR_MS
        return Finding("warn", what, f"silent for {hours:,} hours (silent_h = {limit}): does the sender run?")
    return Finding("ok", what, f"last delivery {hours:,} hours ago{and_answers}")
