"""The systems that are compared: how each is started, and what it leaves out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from benchmarks.peers.installs import JAVA, java_program, locked_version, python_environment
from embedded.jars import jar_folder, read_lock

TOPICS = ("batches", "winners", "singles")
"""Batches of 500; the same of fewer meters, for systems that keep each reading; one reading a message."""
NO_WINNERS = "de-duplication (a reading sent twice counts twice), distinct and largest contributors"
_APART = "one transaction for cells and offsets (cells are written to PostgreSQL, offsets kept apart)"
_UNCOMMITTED = "cells in a database, committed with the offsets"
# The collector for throughput: nobody waits for an answer here. Memory is what the heap was given, not what is needed.
_JVM = ("-XX:+UseParallelGC", "-Xms1g")
_OPENED = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "util")]


@dataclass(frozen=True, slots=True)
class TopicRun:
    """A topic and what one run on it is given. `name` is no other run's.

    `database` is how libpq connects to a database of this run, with a table for cells.
    """

    bootstrap: str
    topic: str
    readings: int
    name: str
    folder: Path
    database: str


Command = Callable[[Path, TopicRun], Sequence[str]]
"""Makes the command of a run, given the folder of the embedded Kafka; installs what it needs, or raises NotPossible."""


@dataclass(frozen=True, slots=True)
class ComparedSystem:
    """A system. `family` is what ONLY chooses.

    `winners`: it counts a reading that was sent twice once. `slow`: topics that it
    goes over once, not three times.
    """

    name: str
    family: str
    version: str
    command: Command
    leaves_out: str
    winners: bool = False
    topics: Sequence[str] = ("batches", "singles")
    slow: Sequence[str] = ()


def _streams(what: str) -> Command:
    def command(installed: Path, run: TopicRun) -> Sequence[str]:
        kafka = read_lock()
        jars = [jar_folder(installed, kafka).resolve() / jar.name for jar in kafka]
        path = java_program(installed / "peers", "streams", ("Batch.java", "Report.java", "StreamsPeer.java"), jars)
        arguments = (run.bootstrap, run.topic, run.name, str(run.folder), str(run.readings), what)
        return ["java", *_JVM, "-Xmx1g", "-cp", path, "StreamsPeer", *arguments]

    return command


def _flink(statements: str, memory: str, checkpoints: str) -> Command:
    def command(installed: Path, run: TopicRun) -> Sequence[str]:
        sources = ("Batch.java", "Report.java", "FlinkPeer.java", "ReadingFormat.java")
        path = java_program(installed / "peers", "flink", sources)
        database = conninfo_to_dict(run.database)
        address = "jdbc:postgresql://{host}:{port}/{dbname}".format(**database)
        login = (str(database["user"]), str(database["password"]))
        arguments = (run.bootstrap, run.topic, run.name, str(JAVA / statements), checkpoints, address, *login)
        return ["java", *_JVM, f"-Xmx{memory}", *_OPENED, "-cp", path, "FlinkPeer", *arguments]

    return command


def _python(name: str, *more: Callable[[TopicRun], str]) -> Command:
    def command(installed: Path, run: TopicRun) -> Sequence[str]:
        python = python_environment(installed.resolve() / "peers", name)
        arguments = (run.bootstrap, run.topic, run.name, *(each(run) for each in more))
        return [str(python), "-m", f"benchmarks.peers.{name}_peer", *arguments]

    return command


_STREAMS = locked_version("streams.lock", "kafka-streams")
_FLINK = locked_version("flink.lock", "flink-core")
_EVERY = f"{NO_WINNERS}, {_UNCOMMITTED}"
SYSTEMS = (
    ComparedSystem("Kafka Streams, row by row", "streams", _STREAMS, _streams("rows"), _EVERY),
    ComparedSystem(
        "Kafka Streams, sums by message", "streams", _STREAMS, _streams("messages"), _EVERY, topics=("batches",)
    ),
    ComparedSystem(
        "Flink SQL", "flink", _FLINK, _flink("sums.sql", "2g", "10 s"), f"{NO_WINNERS}, {_APART}", topics=TOPICS
    ),
    ComparedSystem(
        "Flink SQL with winners",
        "flink",
        _FLINK,
        _flink("winners.sql", "8g", "none"),
        f"distinct and largest contributors, {_APART}, and checkpoints: its state is in memory alone",
        winners=True,
        topics=("winners",),
    ),
    ComparedSystem(
        "Quix Streams, sums by message",
        "quix",
        locked_version("quix.txt", "quixstreams"),
        _python("quix", lambda run: str(run.folder), lambda run: str(run.readings)),
        _EVERY,
        slow=("singles",),
    ),
    ComparedSystem(
        "Pathway, sums by message",
        "pathway",
        locked_version("pathway.txt", "pathway"),
        _python("pathway"),
        f"{_EVERY}; it reads the topic to its end as a batch, not as a stream",
    ),
)
