"""A Mosquitto of a test's own, from Debian's package."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import free_port
from tests.waiting import until

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="there is no mosquitto: apt-get install mosquitto")

_SETTINGS = """
listener {port} 127.0.0.1
user root
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
{more}
"""


_LASTING = """
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
"""
"""It writes all that waits after each message."""


class Mosquitto:
    """A broker in a folder that keeps its state if it is `lasting`; `start` and `stop` as often as a test likes."""

    def __init__(self, folder: Path, more: str = "", *, lasting: bool = True) -> None:
        self.port = free_port()
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        settings = _SETTINGS + (_LASTING if lasting else "")
        self._config.write_text(settings.format(port=self.port, folder=folder, more=more))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it listens."""
        assert PROGRAM is not None
        command = [PROGRAM, "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "Mosquitto listens")

    def stop(self) -> None:
        """End it; it keeps what it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def mosquitto(folder: Path, more: str = "", *, lasting: bool = True) -> Iterator[Mosquitto]:
    """A running broker; it is stopped at the end."""
    broker = Mosquitto(folder, more, lasting=lasting)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def publishing(port: int) -> Iterator[mqtt.Client]:
    """A client that publishes; its loop runs."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
