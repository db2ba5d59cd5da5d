"""A codec in a process of its own, which is ended when it exceeds its limits (decision 0030)."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import Counter

from errors import OperatorError
from ingest.codecs import child
from ingest.files.documents import load

DECODED = Counter("sistercity_codec_uplinks", "Uplinks given to codecs, by outcome", ["outcome"])

LONGEST_PAYLOAD = 1_024
"""Bytes; LoRaWAN's longest has 242."""
LONGEST_SOURCE = 1 << 20
BATCH = 256
_ANSWER_S = 300.0
"""By the clock. Processor time is limited within; this is for a process that the system does not let run."""
_MOST_ANSWER = (BATCH + 1) * (4 * child.LONGEST + 16)


class CodecError(OperatorError):
    """A codec that cannot be used; the message names it and says what is wrong."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a codec gets: a payload, the port (None if it is not known), milliseconds since 1970."""

    content: bytes
    port: int | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class CodecResult:
    """What a codec gave: its fields, or why there are none. `stopped`: at a limit, or because it is used no more."""

    data: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    warnings: Sequence[str] = ()
    stopped: bool = False


class Codec:
    """One codec, whose process is started when it is needed. `name` is for messages. One thread.

    The same uplinks give the same results, whatever went before them, but for what is stopped.
    """

    def __init__(self, name: str, source: str) -> None:
        if len(source) > LONGEST_SOURCE:
            raise CodecError(f"{name}: has more than {LONGEST_SOURCE} characters")
        self.name = name
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self._stops = 0

    def decode(self, payloads: Sequence[Payload]) -> Sequence[CodecResult]:
        """The result of each payload, in their order. Raises `CodecError` if the codec cannot be loaded."""
        found: list[CodecResult] = []
        for begin in range(0, len(payloads), BATCH):
            found.extend(self._batch(payloads[begin : begin + BATCH]))
        for decoded in found:
            DECODED.labels("stopped" if decoded.stopped else "error" if decoded.error else "decoded").inc()
        return found

    def check(self) -> None:
        """Raise `CodecError` if the codec cannot be loaded."""
        if self._process is None:
            self._start()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _batch(self, payloads: Sequence[Payload]) -> Sequence[CodecResult]:
        """A batch; where it ends the process, its uplinks one by one."""
        if self._stops >= child.MOST_STOPS:
            return [CodecResult(error=child.ENOUGH, stopped=True)] * len(payloads)
        answers = self._asked(payloads)
        if answers is not None:
            return [self._counted(decoded) for decoded in map(_decoded, answers)]
        if len(payloads) > 1:
            return [decoded for payload in payloads for decoded in self._batch([payload])]
        return [self._counted(CodecResult(error="it was ended: too much time, or memory", stopped=True))]

    def _counted(self, decoded: CodecResult) -> CodecResult:
        self._stops = self._stops + 1 if decoded.stopped else 0
        return decoded

    def _asked(self, payloads: Sequence[Payload]) -> Sequence[str] | None:
        lines = (
            f"x{payload.content.hex()} {-1 if payload.port is None else payload.port} {payload.time_ms}\n"
            for payload in payloads
        )
        if self._process is None:
            self._start()
        answers = self._exchange("".join(lines) + "\n")
        if answers is None or len(answers) != len(payloads):
            self.close()
            return None
        return answers

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"TZ": "UTC"},
            cwd=Path(child.__file__).parent,
            bufsize=0,
        )
        answers = self._exchange(json.dumps(self._source) + "\n")
        if answers is None or answers[0] != "D":
            self.close()
            words = answers[0][1:] if answers else "it was ended: too much time, or memory"
            raise CodecError(f"{self.name}: cannot be loaded: {words}")

    def _exchange(self, request: str) -> Sequence[str] | None:
        """The lines of the answer; None if there is none."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            rest = memoryview(request.encode("utf-8", "replace"))
            while rest:
                rest = rest[process.stdin.write(rest) :]
        except OSError:  # it has ended
            return None
        answer = bytearray()
        while not answer.endswith(b"\n\n"):
            if not select.select([process.stdout], [], [], _ANSWER_S)[0] or len(answer) > _MOST_ANSWER:
                return None
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                return None
            answer += part
        return answer.decode("utf-8", "replace").removesuffix("\n\n").split("\n")


def _decoded(answer: str) -> CodecResult:
    kind, rest = answer[:1], answer[1:]
    if kind != "D":
        return CodecResult(error=rest or "an error that says nothing", stopped=kind == "L")
    try:
        result = load(rest.encode())
    except ValueError as error:
        return CodecResult(error=f"its result cannot be read: {error}")
    if not isinstance(result, dict):
        return CodecResult(error="its result is no object")
    errors, data = _texts(result.get("errors")), result.get("data")
    if errors:
        return CodecResult(error="; ".join(errors)[:300])
    if not isinstance(data, dict):
        return CodecResult(error="its result has no data")
    return CodecResult(data, warnings=_texts(result.get("warnings")))


def _texts(value: object) -> Sequence[str]:
    items = value if isinstance(value, list) else [] if value is None or value == "" else [value]
    return [str(item)[:300] for item in items[:10]]
