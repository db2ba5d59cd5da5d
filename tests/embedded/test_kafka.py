import threading
from pathlib import Path

import pytest

from embedded import fast_start, kafka
from embedded.jars import classpath, read_lock
from embedded.kafka_probe import serves_cluster
from embedded.ports import LOOPBACK

TRIAL = ["-XX:NoSuchOption"]


@pytest.mark.services
def test_a_storage_is_formatted_once_and_copied_then_and_trial_options_that_fail_are_left_out(
    tmp_path: Path, installed: Path
) -> None:
    path, pattern = classpath(installed, read_lock()), tmp_path / "pattern"
    first = kafka.formatted(new_folder(tmp_path / "first"), path, TRIAL, pattern)
    assert {each.name for each in pattern.iterdir()} == {"meta.properties", "bootstrap.checkpoint"}
    folder = new_folder(tmp_path / "second")
    broker = kafka.start(folder, path, threading.Event(), trial=TRIAL, pattern=pattern)
    try:
        assert kafka.running(folder) == [broker.process.pid]
        second = (folder / "cluster-id").read_text()
        assert second != first
        assert serves_cluster(LOOPBACK, broker.port, second)
        assert not (folder / "format.properties").exists()  # its tool did not run
    finally:
        kafka.stop(broker)
    assert kafka.running(folder) == []


def new_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.services
def test_a_cancelled_start_leaves_no_process(tmp_path: Path, installed: Path) -> None:
    cancelled, jars = threading.Event(), read_lock()
    cancelled.set()
    with pytest.raises(kafka.CalledOff):
        kafka.start(
            *(tmp_path, classpath(installed, jars), cancelled),
            trial=fast_start.options(installed, jars),
            pattern=fast_start.storage_pattern(installed, jars),
        )
    assert kafka.running(tmp_path) == []


def test_the_cache_is_used_if_there_is_one(tmp_path: Path) -> None:
    jars = read_lock()
    assert fast_start.options(tmp_path, jars) == ()
    cache = fast_start.cache_path(tmp_path, jars)
    cache.parent.mkdir(parents=True)
    cache.touch()
    assert fast_start.options(tmp_path, jars) == (f"-XX:AOTCache={cache}",)
