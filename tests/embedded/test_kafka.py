import threading
from pathlib import Path

import pytest

from embedded import fast_start, kafka
from embedded.jars import classpath, read_lock
from embedded.kafka_probe import serves_cluster
from embedded.ports import LOOPBACK


@pytest.mark.services
def test_kafka_starts_without_trial_options_that_fail(tmp_path: Path, installed: Path) -> None:
    jars_path = classpath(installed, read_lock())
    broker = kafka.start(tmp_path, jars_path, threading.Event(), trial=["-XX:NoSuchOption"])
    try:
        assert kafka.running(tmp_path) == [broker.process.pid]
        assert serves_cluster(LOOPBACK, broker.port, (tmp_path / "cluster-id").read_text())
    finally:
        kafka.stop(broker)
    assert kafka.running(tmp_path) == []


@pytest.mark.services
def test_a_storage_is_formatted_once_and_copied_then(tmp_path: Path, installed: Path) -> None:
    jars, pattern = read_lock(), tmp_path / "pattern"
    trial, path = fast_start.options(installed, jars), classpath(installed, jars)
    first = kafka.formatted(new_folder(tmp_path / "first"), path, trial, pattern)
    assert {each.name for each in pattern.iterdir()} == {"meta.properties", "bootstrap.checkpoint"}
    folder = new_folder(tmp_path / "second")
    broker = kafka.start(folder, path, threading.Event(), trial=trial, pattern=pattern)
    try:
        second = (folder / "cluster-id").read_text()
        assert second != first
        assert serves_cluster(LOOPBACK, broker.port, second)
        assert not (folder / "format.properties").exists()  # its tool did not run
    finally:
        kafka.stop(broker)


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.services
def test_a_cancelled_start_leaves_no_process(tmp_path: Path, installed: Path) -> None:
    cancelled, jars = threading.Event(), read_lock()
    cancelled.set()
    with pytest.raises(kafka.CalledOff):
        kafka.start(tmp_path, classpath(installed, jars), cancelled, trial=fast_start.options(installed, jars))
    assert kafka.running(tmp_path) == []


def test_the_cache_is_used_if_there_is_one(tmp_path: Path) -> None:
    jars = read_lock()
    assert fast_start.options(tmp_path, jars) == ()
    cache = fast_start.cache_path(tmp_path, jars)
    cache.parent.mkdir(parents=True)
    cache.touch()
    assert fast_start.options(tmp_path, jars) == (f"-XX:AOTCache={cache}",)
