"""The process in which a codec runs: started by `ingest.codecs.sandbox` with no environment, by the path of this file.

Reads a line with the codec's source as JSON, then batches: a line for each uplink (payload, port, time), and an empty
line. Answers the source and each batch with a line for each item, which begins with `D` (a result), `E` (the codec is
wrong) or `L` (it was stopped at a limit), and an empty line. Only the standard library and QuickJS are here.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import quickjs

MEMORY_BYTES = 16 << 20
STACK_BYTES = 256 << 10
SECONDS = 0.05
"""Processor time of one uplink, where the interpreter looks at the clock."""
HARD_SECONDS = 0.25
"""Processor time after which the system ends the process, whatever it does."""
LONGEST = 16 << 10
MOST_STOPS = 20
"""Uplinks in a row at which a codec was stopped, after which it decodes no more."""
ENOUGH = f"the codec was stopped {MOST_STOPS} times in a row, and is not used until the next start"
_LOAD_SECONDS = 1.0
_PROCESS_BYTES = 1 << 30


_STOPPED = ("interrupted", "out of memory", "call stack size", "string too long")
"""What QuickJS says at its limits. A codec that says so itself is treated alike, which harms nobody else."""


class _Codec:
    """Interpreters of one codec: the next is made after whatever was not an ordinary answer."""

    def __init__(self, prelude: str, source: str) -> None:
        self._prelude = prelude
        self._source = source
        self._decode: Callable[[str, int, float], str] | None = None
        self._stops = 0

    def answer(self, digits: str, port: int, time: float) -> str:
        """A line of an answer."""
        if self._stops >= MOST_STOPS:
            return "L" + ENOUGH
        found = self._tried(digits, port, time)
        self._stops = self._stops + 1 if found[0] == "L" else 0
        return found

    def _tried(self, digits: str, port: int, time: float) -> str:
        try:
            decode = self._decode or self.load()
            found = decode(digits, port, time).replace("\n", " ")
        except (quickjs.JSException, quickjs.StackOverflow, MemoryError) as error:
            return self._failed(str(error))
        if found[0] != "E":
            # JSON begins otherwise. JavaScript sets no mark before it: a long text that it has joined does not convert.
            return "D" + found
        return self._failed(found[1:]) if any(word in found for word in _STOPPED) else found

    def load(self) -> Callable[[str, int, float], str]:
        """Make the interpreter. Raises what QuickJS does."""
        context = quickjs.Context()
        context.set_memory_limit(MEMORY_BYTES)
        context.set_max_stack_size(STACK_BYTES)
        context.set_time_limit(_LOAD_SECONDS)
        decode: Callable[[str, int, float], str] = context.eval(self._prelude)(LONGEST)(self._source)
        context.set_time_limit(SECONDS)
        self._decode = decode
        return decode

    def _failed(self, words: str) -> str:
        self._decode = None
        text = (words.splitlines() or [""])[0][:300]
        return ("L" if any(word in text for word in _STOPPED) else "E") + text


def confine() -> None:
    """No file can be opened or written, no process made; memory is bounded whatever the interpreter allows."""
    resource.setrlimit(resource.RLIMIT_AS, (_PROCESS_BYTES, _PROCESS_BYTES))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))


def _loaded(codec: _Codec) -> str:
    try:
        codec.load()
    except (quickjs.JSException, quickjs.StackOverflow, MemoryError) as error:
        return "E" + (str(error).splitlines() or [""])[0][:300]
    return "D"


def _send(lines: list[str]) -> None:
    sys.stdout.buffer.write("".join(line + "\n" for line in (*lines, "")).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve until the input ends."""
    prelude = Path(__file__).with_name("sandbox.js").read_text(encoding="utf-8")
    confine()
    codec = _Codec(prelude, json.loads(sys.stdin.buffer.readline()))
    signal.setitimer(signal.ITIMER_PROF, 2 * _LOAD_SECONDS)
    _send([_loaded(codec)])
    answers: list[str] = []
    batch: list[bytes] = []
    while line := sys.stdin.buffer.readline():
        if line != b"\n":
            batch.append(line)
            continue
        for uplink in batch:
            digits, port, time = uplink.split()
            signal.setitimer(signal.ITIMER_PROF, HARD_SECONDS)
            answers.append(codec.answer(digits[1:].decode(), int(port), float(time)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers)
        batch, answers = [], []


if __name__ == "__main__":
    main()
