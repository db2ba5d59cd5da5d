"""JSON that two implementations might read in two ways is refused."""

import pytest

from federation.strict_json import BadJson, loads


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":1}',
        b'[{"a":{"b":1,"b":2}}]',
        b"[NaN]",
        b"[-Infinity]",
        b"[1e999]",
        b'["\\ud800"]',
        b'["\\uDC00\\uD800"]',
        b'["\xff"]',
        b"\xef\xbb\xbf[]",
        b"[" * 33 + b"]" * 33,
        b"[" * 200_000,
        b"[1",
        b"",
    ],
)
def test_ambiguous_json_is_refused(content):
    with pytest.raises(BadJson):
        loads(content)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'["\\ud83d\\ude00","\\\\ud800"]', ["\U0001f600", "\\ud800"]),
        (b"[9223372036854775807, 1.5]", [2**63 - 1, 1.5]),
        (b"[" * 32 + b"]" * 32, eval("[" * 32 + "]" * 32)),
    ],
)
def test_plain_json_is_read(content, value):
    assert loads(content) == value
