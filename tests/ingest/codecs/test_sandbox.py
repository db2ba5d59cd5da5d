"""What a hostile or careless codec can do: nothing but fail, within its limits."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.codecs import child
from ingest.codecs.sandbox import Codec, CodecError, CodecResult, Payload

TIME = 1_700_000_000_123
UPLINK = Payload(b"\x05\x06", 2, TIME)


@pytest.fixture
def decoded():
    """Decodes uplinks by the body of a `decodeUplink`."""
    made: list[Codec] = []

    def decode(body: str, count: int = 1) -> list[CodecResult]:
        made.append(Codec("test.js", f"function decodeUplink(input) {{ {body} }}"))
        return list(made[-1].decode([UPLINK] * count))

    yield decode
    for codec in made:
        codec.close()


def test_a_codec_gets_what_ts013_says(decoded) -> None:
    body = "return {data: {bytes: input.bytes, port: input.fPort, at: input.recvTime.toISOString()}, warnings: ['w']}"
    [found] = decoded(body)
    assert found == CodecResult(
        {"bytes": [5, 6], "port": 2, "at": "2023-11-14T22:13:20.123Z"}, error="", warnings=["w"], stopped=False
    )


def test_a_long_result_or_error_is_whole_up_to_its_limit() -> None:
    lengths = (500, 600, 9_000, 16_000)
    text = "var long = 'x'.repeat(input.fPort - 1) + 'y'; if (input.bytes[0]) throw new Error(long)"
    codec = Codec("test.js", f"function decodeUplink(input) {{ {text}; return {{data: {{x: long}}}} }}")
    try:
        found = codec.decode([Payload(bytes([fails]), length, TIME) for length in lengths for fails in (0, 1)])
    finally:
        codec.close()
    assert [(uplink.error, uplink.data) for uplink in found] == [
        answer for length in lengths for answer in (("", {"x": "x" * (length - 1) + "y"}), ("x" * 300, {}))
    ]


def test_the_only_time_is_that_of_the_uplink(decoded) -> None:
    body = """
    var zone = new Date(0).getTimezoneOffset(), Hidden = new Date().constructor;
    return {data: {now: Date.now(), made: new Date().getTime(), hidden: Hidden.now(), zone: zone,
      text: Date().indexOf('2023'), fixed: new Date(86400000).toISOString(), clock: typeof performance}}
    """
    [found] = decoded(body)
    assert found.data == {
        **{"now": TIME, "made": TIME, "hidden": TIME, "zone": 0, "text": 11},
        **{"fixed": "1970-01-02T00:00:00.000Z", "clock": "undefined"},
    }


FAILING = [
    ("return {data: {x: Math.random()}}", "no random numbers"),
    ("return {data: {x: eval('1')}}", "not defined|not a function"),
    ("return import('os').then(function (os) { return {data: {}} })", "no data"),
    ("return require('fs')", "not defined"),
    ("return {data: {x: std.getenv('HOME')}}", "not defined"),
    ("new WeakRef({})", "not defined"),
    ("return new SharedArrayBuffer(8)", "not defined"),
    ("throw undefined", "undefined"),
    ("throw {get message() { throw 1 }}", "says nothing"),
    ("throw new Error('a\\nb')", "a b"),
    ("", "nothing"),
    ("return 5", "no object"),
    ("return {data: [1]}", "no data"),
    ("return {errors: ['one', 'two']}", "one; two"),
    ("return {data: {n: 1n}}", "[Bb]ig[Ii]nt"),
    ("var a = {}; a.a = a; return {data: a}", "circular"),
    ("return {data: {x: 'x'.repeat(20000)}}", "more than 16384 characters"),
    ("Object.defineProperty(globalThis, 'kept', {value: 1}); return {data: {}}", "cannot be removed"),
    ("'use strict'; Array.prototype.push = 1", "read-only"),
]
"""Bodies of a `decodeUplink`, and what is said of them."""


@pytest.fixture(scope="module")
def failing() -> Iterator[Codec]:
    """A codec that does with an uplink what its first byte says, in one process for all of `FAILING`."""
    bodies = ",".join(f"function () {{ {body} }}" for body, _ in FAILING)
    codec = Codec("test.js", f"function decodeUplink(input) {{ return [{bodies}][input.bytes[0]]() }}")
    yield codec
    codec.close()


@pytest.mark.parametrize("number", range(len(FAILING)), ids=[body for body, _ in FAILING])
def test_what_a_codec_cannot_do_is_an_error_of_this_uplink(failing: Codec, number: int) -> None:
    for uplink in failing.decode([Payload(bytes([number]), 2, TIME)] * 2):
        assert (uplink.data, uplink.stopped) == ({}, False)
        assert re.search(FAILING[number][1], uplink.error), uplink.error


STOPPED = {
    "an endless loop": "for (;;) {}",
    "an endless loop that catches": "for (;;) { try { for (;;) {} } catch (e) {} }",
    "a text of a gigabyte": "return {data: {x: 'x'.repeat(1e9)}}",
    "a text that doubles": "var s = 'x'; for (;;) s += s",
    "deep recursion": "(function f() { f() })()",
    "recursion that catches": "function f() { try { f() } finally { f() } } f()",
    "an expression that backtracks": "/^(a+)+$/.test('a'.repeat(60) + 'b')",
    "an array without end": "var a = []; for (;;) a.push({})",
    "a loop of the interpreter itself": "return {data: {x: new Array(4e9).join('x')}}",
    "a loop while the result is written": "return {data: {toJSON() { for (;;) {} }}}",
    "a number without end": "var n = 3n; for (;;) n *= n",
    "objects in objects": "var o = {}; for (var i = 0; i < 1e5; i++) o = {o: o}; return {data: o}",
}


@pytest.fixture(scope="module")
def hostile() -> Iterator[Codec]:
    """A codec that does with an uplink what its first byte says; it is sound where that is 255."""
    bodies = ",".join(f"function () {{ {body} }}" for body in STOPPED.values())
    sound = "if (input.bytes[0] === 255) return {data: {sound: true}}"
    codec = Codec("test.js", f"function decodeUplink(input) {{ {sound}; return [{bodies}][input.bytes[0]]() }}")
    yield codec
    codec.close()


@pytest.mark.parametrize("number", range(len(STOPPED)), ids=STOPPED)
def test_a_hostile_codec_is_stopped_and_those_that_follow_are_not(hostile: Codec, number: int) -> None:
    sound = Payload(b"\xff", 2, TIME)
    found = hostile.decode([sound, Payload(bytes([number]), 2, TIME), sound])
    assert [uplink.data for uplink in found] == [{"sound": True}, {}, {"sound": True}]
    assert found[1].error
    assert found[1].stopped or "RangeError" in found[1].error or "too large" in found[1].error, found[1]
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1 << 20  # kilobytes


def test_changed_prototypes_change_nothing_for_anybody(decoded) -> None:
    body = """
    try { Object.prototype.polluted = 1 } catch (e) {}
    Array.prototype.push = function () { throw new Error('stolen') };
    JSON.stringify = function () { return '{"data": {"forged": 1}}' };
    Date.now = function () { return 1 };
    parseInt = function () { return 9 };
    globalThis.JSON = {};
    var list = []; list.push(1);
    return {data: {list: list, clean: {}.polluted === undefined, bytes: input.bytes}}
    """
    assert [uplink.data for uplink in decoded(body, 3)] == [{"list": [1], "clean": True, "bytes": [5, 6]}] * 3


@pytest.mark.parametrize(
    "source",
    [
        "var n = 0; function decodeUplink() { return {data: {n: ++n}} }",
        "function decodeUplink() { count = (globalThis.count || 0) + 1; return {data: {n: count}} }",
        "function decodeUplink() { decodeUplink.n = (decodeUplink.n || 0) + 1; return {data: {n: decodeUplink.n}} }",
        "exports.decodeUplink = function () { exports.n = (exports.n || 0) + 1; return {data: {n: exports.n}} }",
        "module.exports = { decodeUplink() { this.n = (this.n || 0) + 1; return {data: {n: 1}} } }",
        "function decodeUplink() { Math.n = (Math.n || 0) + 1; return {data: {n: Math.n || 1}} }",
    ],
)
def test_no_uplink_knows_of_those_before_it(source: str) -> None:
    codec = Codec("test.js", source)
    try:
        assert [uplink.data for uplink in codec.decode([UPLINK] * 3)] == [{"n": 1}] * 3
    finally:
        codec.close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("function decodeUplink(", "missing formal parameter"),
        (
            "}; var n = 0; (function () { function decodeUplink() { return {data: {n: n++}} }",
            "braces do not match|Synt",
        ),
        ("} , function () { function decodeUplink() { return {} }", "braces do not match|Synt"),
        ("import fs from 'fs'; function decodeUplink() {}", "SyntaxError"),
    ],
)
def test_a_file_that_is_no_codec_is_named_when_it_is_first_used(source: str, words: str) -> None:
    with pytest.raises(CodecError, match=rf"test\.js: cannot be loaded: .*({words})"):
        Codec("test.js", source).decode([UPLINK])
    with pytest.raises(CodecError, match="more than"):
        Codec("test.js", " " * 2_000_000)


def test_a_codec_that_is_stopped_again_and_again_is_used_no_more() -> None:
    codec = Codec("test.js", "function decodeUplink(input) { if (input.bytes[0] === 5) decodeUplink(input); return 5 }")
    try:
        found = codec.decode([UPLINK] * (child.MOST_STOPS + 300))
        assert all(uplink.stopped for uplink in found)
        assert "is not used until the next start" in found[-1].error
        assert codec.decode([Payload(b"\x01", 2, TIME)])[0].stopped
    finally:
        codec.close()


def test_the_process_of_a_codec_can_open_nothing() -> None:
    """What `confine` leaves to a process, tried in one: a fork of this test."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        child.confine()
        for action in (Path("/etc/passwd").read_bytes, os.pipe):
            try:
                action()
                os.write(write, b"opened")
            except OSError:
                os.write(write, b"refused")
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"refusedrefused"
    os.close(read)
