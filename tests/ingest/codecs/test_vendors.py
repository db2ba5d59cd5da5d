"""Codecs of others in the sandbox, against the vectors that they publish: they come from npm, and are not committed.

Adeunis is a vendor, whose library decodes all of its devices; the other package is of a weather station built by hand.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest.codecs.sandbox import Codec, CodecResult, Payload

HERE = Path(__file__).parent / "javascript"
ADEUNIS, BRESSER = (HERE / "node_modules" / name for name in ("@adeunis/codecs", "bresserweathersensorlw-codec"))

pytestmark = pytest.mark.skipif(
    not (HERE / "node_modules").exists(),
    reason="needs codecs: npm ci --ignore-scripts --prefix tests/ingest/codecs/javascript",
)

NONE = Payload(b"", None, 0)

# What a city writes around a library of another interface. The library asks for Node's Buffer.
AROUND = """
class Buffer extends Uint8Array {
  static from(digits) {
    return new Buffer((digits.match(/../g) || []).map(function (pair) { return parseInt(pair, 16); }));
  }
  static alloc(length) { return new Buffer(length); }
  get view() { return new DataView(this.buffer, this.byteOffset, this.length); }
  readUInt8(at) { return this.view.getUint8(at); }
  readInt8(at) { return this.view.getInt8(at); }
  readUInt16BE(at) { return this.view.getUint16(at); }
  readInt16BE(at) { return this.view.getInt16(at); }
  readUInt32BE(at) { return this.view.getUint32(at); }
  readInt32BE(at) { return this.view.getInt32(at); }
  toString() { return Array.from(this, function (byte) { return byte.toString(16).padStart(2, "0"); }).join(""); }
}
function decodeUplink(input) {
  var decoder = new codec.Decoder();
  decoder.setDeviceType("KIND");
  return { data: decoder.decode(Buffer.from("").toString.call(input.bytes)) };
}
"""


@dataclass(frozen=True)
class Published:
    """A payload, and values at paths of its result."""

    kind: str
    content: bytes
    values: Sequence[tuple[str, Any]]


def published() -> Iterator[Published]:
    """The vendor's own tests of uplinks for which no configuration was received before."""
    literal = r"-?[\d.]+|'[^']*'|true|false"
    for spec in sorted((ADEUNIS / "src/products").rglob("0x*.parser.spec.ts")):
        of_parser = re.search(r"deviceType = '(\w+)", spec.with_name(spec.name.replace(".spec", "")).read_text())
        for case in re.split(r"\n +it\(", spec.read_text())[1:]:
            payload = re.search(r"payloadString =([^;]*'[0-9a-fA-F]+'[^;]*);", case)
            call = re.search(r"'hex'\), Buffer\.from\(''\), '\w+'(?:, '(\w+)')?\)", case)
            if of_parser is None or payload is None or call is None:
                continue
            expected = re.findall(rf"expect\(content((?:\.\w+|\['\w+'\]|\[\d+\])+)\)\.to\.equal\(({literal})\)", case)
            values = [(path, json.loads(text.replace("'", '"'))) for path, text in expected]
            digits = "".join(re.findall(r"'([0-9a-fA-F]+)'", payload[1]))
            yield Published(call[1] or of_parser[1], bytes.fromhex(digits), values)


def at(data: Any, path: str) -> Any:
    for name, number in re.findall(r"([A-Za-z_]\w*)|\[(\d+)\]", path):
        data = data.get(name) if name else data[int(number)]
    return data


def decoded(name: str, source: str, payloads: Sequence[Payload]) -> Sequence[CodecResult]:
    codec = Codec(name, source)
    try:
        return codec.decode(payloads)
    finally:
        codec.close()


def test_the_vendors_library_gives_what_the_vendors_tests_expect() -> None:
    cases = list(published())
    library = (ADEUNIS / "dist/lib.public.js").read_text()
    kinds = {case.kind for case in cases}
    assert (len(cases) > 120, len(kinds) > 15) == (True, True)
    for kind in sorted(kinds):
        of_kind = [case for case in cases if case.kind == kind]
        payloads = [Payload(case.content, 1, 0) for case in of_kind]
        for case, found in zip(of_kind, decoded(kind, library + AROUND.replace("KIND", kind), payloads), strict=True):
            values = {path: at(found.data, path) for path, _ in case.values}
            assert (found.error, values) == ("", dict(case.values)), (kind, case.content.hex())


def test_a_codec_of_ts013_from_npm_gives_what_its_own_tests_expect() -> None:
    source = (BRESSER / "uplink_formatter.js").read_text()
    case = r"Buffer\.from\(\[([^\]]*)\]\)[^;]*;\s*const res = codec\.decodeUplink\(\{[^}]*fPort: (\w+) \}\);\s*"
    tests = re.findall(
        rf"{case}assert\.deepEqual\(res\.data, (\{{.*?\}}), '", (BRESSER / "test/codec.test.js").read_text(), re.S
    )
    assert len(tests) > 5
    [wanted] = decoded(
        "expected",
        f"function decodeUplink() {{ return {{ data: {{ all: [{','.join(t[2] for t in tests)}] }} }}; }}",
        [NONE],
    )
    payloads = [
        Payload(bytes(int(byte, 16) for byte in re.findall(r"0x(\w+)", content)), int(port, 16), 0)
        for content, port, _ in tests
    ]
    found = decoded("bresser", source, payloads)
    assert [(result.error, result.data) for result in found] == [("", data) for data in wanted.data["all"]]
