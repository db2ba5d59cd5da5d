from pathlib import Path

import pytest

from embedded.jars import LOCK, BadLock, Jar, NotInstalled, classpath, kafka_version, parse_line, read_lock, write_lock

SERVER = Jar("org.apache.kafka", "kafka_2.13", "9.9.9", "0" * 64)


def test_the_committed_lock_brings_server_storage_tool_and_logging_of_one_kafka_version() -> None:
    jars = {jar.artifact: jar for jar in read_lock()}
    of_kafka = {jar.version for jar in jars.values() if jar.group == "org.apache.kafka"}
    assert of_kafka == {kafka_version(read_lock())}
    assert {"kafka_2.13", "kafka-clients", "kafka-raft", "kafka-storage", "log4j-core", "log4j-slf4j-impl"} <= set(jars)


def test_the_lock_names_no_registry() -> None:
    assert "://" not in LOCK.read_text()


@pytest.mark.parametrize("line", ["a:b:1", f"a:b {'0' * 64}", f"a::1 {'0' * 64}", "a:b:1 abc"])
def test_a_line_without_all_four_parts_is_refused(line: str) -> None:
    with pytest.raises(BadLock):
        parse_line(line)


def test_a_lock_without_a_server_is_refused(tmp_path: Path) -> None:
    write_lock([Jar("a", "b", "1", "0" * 64)], tmp_path / "lock")
    with pytest.raises(BadLock):
        read_lock(tmp_path / "lock")


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_lock([SERVER], tmp_path / "lock")
    assert read_lock(tmp_path / "lock") == (SERVER,)


def test_a_missing_jar_is_reported_with_the_command_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=f"embedded.install {tmp_path}"):
        classpath(tmp_path, [SERVER])


def test_a_jar_that_the_lock_does_not_name_is_not_on_the_class_path(tmp_path: Path) -> None:
    folder = tmp_path / "kafka" / "9.9.9"
    folder.mkdir(parents=True)
    for name in (SERVER.name, "stranger-1.jar"):
        (folder / name).touch()
    assert classpath(tmp_path, [SERVER]) == str(folder / SERVER.name)
