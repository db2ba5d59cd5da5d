"""A headless Chromium, driven over a pipe by its DevTools protocol: JSON, a zero byte after each message."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

MISSING = "Chromium is not installed; on Debian: apt-get install chromium fonts-noto-core"

_LONGEST_S = 60
_ABOVE = 10
"""Both ends of the pipe are moved here first, so that neither is in the way of 3 and 4, where Chromium looks."""

_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)

Json = dict[str, Any]


def installed() -> str | None:
    """The path of a Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class View:
    """One tab of a certain size, in which no script of the page runs."""

    def __init__(self, browser: "Chromium", session: str) -> None:
        self._browser = browser
        self._session = session
        self.requests: list[str] = []
        """Every URL that was asked for."""
        self.complaints: list[str] = []
        """Whatever the browser had to say: what the page's policy forbade, what did not load."""

    def open(self, url: str) -> None:
        """Load a page and wait until all of it is there."""
        self.requests.clear()
        self.complaints.clear()
        self("Page.navigate", url=url)
        self._browser.until(self._session, "Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression of the test's own comes to."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def dark(self, wanted: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, *, whole: bool = False) -> bytes:
        """What is seen, as PNG; all of the page if `whole`."""
        return b64decode(self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def heard(self, event: str, content: Json) -> None:
        """Take down what the browser tells of this tab."""
        if event == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"])
        elif event == "Log.entryAdded":
            self.complaints.append(content["entry"]["text"])
        elif event == "Network.loadingFailed":
            self.complaints.append(content["errorText"])

    def __call__(self, method: str, **parameters: Any) -> Json:
        return self._browser.call(method, self._session, **parameters)


class Chromium:
    """A browser that was started for the tests alone."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._unread = b""
        self._events: list[tuple[str, str]] = []
        self._views: dict[str, View] = {}

    def view(self, width: int, height: int, *, scale: float = 1, phone: bool = False) -> View:
        """A new tab of this size in CSS pixels."""
        target = self.call("Target.createTarget", None, url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", None, targetId=target, flatten=True)["sessionId"]
        view = self._views[session] = View(self, session)
        for domain in ("Page", "Network", "Log", "Runtime"):
            view(f"{domain}.enable")
        view("Emulation.setScriptExecutionDisabled", value=True)
        view("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)
        return view

    def call(self, method: str, session: str | None, **parameters: Any) -> Json:
        """Ask for something and return the answer."""
        self._number += 1
        message: Json = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._number:
                assert "error" not in heard, (method, heard["error"])
                return dict(heard["result"])

    def until(self, session: str, event: str) -> None:
        """Wait for an event of a tab."""
        while (session, event) not in self._events:
            self._next()
        self._events.remove((session, event))

    def _next(self) -> Json:
        deadline = time.monotonic() + _LONGEST_S
        while b"\0" not in self._unread:
            ready, _, _ = select([self._answers], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"Chromium said nothing for {_LONGEST_S} s"
            piece = os.read(self._answers, 1 << 16)
            assert piece, "Chromium has ended"
            self._unread += piece
        first, _, self._unread = self._unread.partition(b"\0")
        heard: Json = json.loads(first)
        if "method" in heard and heard.get("sessionId") in self._views:
            self._events.append((heard["sessionId"], heard["method"]))
            self._views[heard["sessionId"]].heard(heard["method"], heard["params"])
        return heard


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """A running Chromium that keeps its files in `profile`; it can reach 127.0.0.1 and nothing else."""
    path = installed()
    assert path is not None, MISSING
    commands_out, commands_in = _pipe()
    answers_out, answers_in = _pipe()
    command = [sys.executable, "-c", _START, str(commands_out), str(answers_in), path, *_OPTIONS]
    with (profile / "chromium.log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"],
            pass_fds=(commands_out, answers_in),
            env={**os.environ, "HOME": str(profile)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Chromium(commands_in, answers_out)
    finally:
        os.close(commands_in)  # Chromium ends with its pipe
        os.close(answers_out)
        try:
            process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _pipe() -> tuple[int, int]:
    """A pipe's end to read from and its end to write to, none of them below `_ABOVE`."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for end in low)
    for end in low:
        os.close(end)
    return high[0], high[1]
