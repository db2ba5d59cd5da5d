import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras.live import protocol
from ingest.cameras.live.multipart import BAD_PART, NO_BOUNDARY, boundary_of, parts
from ingest.cameras.live.protocol import CameraUnavailable

PICTURES = [bytes([0xFF, 0xD8, 0xFF]) + random.Random(number).randbytes(200 + number) for number in range(4)]
LARGEST = 10_000


def stream(
    pictures: list[bytes], delimiter: str = "--b", newline: str = "\r\n", *, lengths: bool = True, first: bool = True
) -> bytes:
    """A body as cameras send it; without `first`, it begins in the head of a part."""
    said = b""
    for number, picture in enumerate(pictures):
        head = [f"X-Timestamp: {number}.5", *([f"Content-Length: {len(picture)}"] if lengths else [])]
        said += f"{delimiter}{newline}".encode() if number or first else b""
        said += "".join(f"{line}{newline}" for line in [*head, ""]).encode() + picture + newline.encode()
    return said + f"{delimiter}{newline}".encode()


def read(chunks: Iterator[bytes] | list[bytes], boundary: str = "b") -> tuple[list[bytes], str]:
    """The bodies of all parts, and why there are no more."""
    found = []
    try:
        for part in parts(chunks, boundary, LARGEST):
            found.append(part.body)
    except CameraUnavailable as away:
        return found, away.reason
    raise AssertionError("a stream ends with a reason")


@given(
    delimiter=st.sampled_from(["--b", "--a boundary", "--" + "x" * 70, "----b--"]),
    newline=st.sampled_from(["\r\n", "\n"]),
    lengths=st.booleans(),
    cuts=st.lists(st.integers(1, 400), min_size=1),
    before=st.sampled_from([b"", b"\r\n", b"\n\n\r\n"]),
)
def test_any_delimiter_and_any_chunks_give_the_same_pictures(delimiter, newline, lengths, cuts, before):
    body = before + stream(PICTURES, delimiter, newline, lengths=lengths)
    chunks, at = [], 0
    while at < len(body):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(body[at : at + size])
        at += size
    assert read(chunks, "another than is used") == (PICTURES, protocol.ENDED)


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("boundary", ["b", "--b"])
def test_a_body_that_begins_with_a_parts_headers_uses_the_boundary_of_the_content_type(lengths, boundary):
    body = stream(PICTURES, lengths=lengths, first=False)
    assert read([body], boundary) == (PICTURES, protocol.ENDED)


def test_a_parts_headers_have_lower_case_names():
    part = next(parts([stream(PICTURES)], "b", LARGEST))
    assert part.headers == {"x-timestamp": "0.5", "content-length": str(len(PICTURES[0]))}
    assert "body" not in repr(part)


def test_the_search_for_the_next_delimiter_is_bounded():
    found = read(endless(b"--b\r\nContent-Length: 5\r\n\r\nabcde", b"x" * 1000))
    assert found == ([b"abcde"], protocol.TOO_LARGE)


def test_the_closing_delimiter_ends_the_stream():
    assert read([stream(PICTURES[:1])[:-2] + b"--\r\n" + stream(PICTURES)]) == (PICTURES[:1], protocol.ENDED)


def test_after_a_wrong_length_the_next_picture_is_found():
    short = stream(PICTURES).replace(f"Content-Length: {len(PICTURES[1])}".encode(), b"Content-Length: 100")
    assert read([short])[0] == [PICTURES[0], PICTURES[1][:100], PICTURES[2], PICTURES[3]]
    long = stream(PICTURES).replace(f"Content-Length: {len(PICTURES[1])}".encode(), b"Content-Length: 300")
    found, _ = read([long])
    assert (found[0], found[-1], len(found)) == (PICTURES[0], PICTURES[3], 3)
    for nonsense in (b"Content-Length: -5", b"Content-Length: 1e9", b"Content-Length: " + b"9" * 3000):
        body = stream(PICTURES).replace(f"Content-Length: {len(PICTURES[1])}".encode(), nonsense)
        assert read([body])[0] == PICTURES


def test_a_picture_of_known_length_is_yielded_before_the_next_arrives():
    body = stream(PICTURES[:1])

    def chunks() -> Iterator[bytes]:
        yield body[: body.index(PICTURES[0]) + len(PICTURES[0])]
        raise AssertionError("more was waited for")

    assert next(parts(chunks(), "b", LARGEST)).body == PICTURES[0]


def endless(head: bytes, more: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield more


@pytest.mark.parametrize(
    ("head", "more", "reason"),
    [
        (b"--b\r\n\r\n", b"x" * 1000, protocol.TOO_LARGE),
        (b"--b\r\nContent-Length: 10001\r\n\r\n", b"x", protocol.TOO_LARGE),
        (b"--b\r\nContent-Length: 999999999999999\r\n\r\n", b"x", protocol.TOO_LARGE),
        (b"--b\r\n", b"Name: value\r\n", BAD_PART),
        (b"--b\r\nName: ", b"x" * 1000, BAD_PART),
        (b"--", b"b" * 1000, BAD_PART),
        (b"\xff\xd8\xff", b"\x00" * 1000, BAD_PART),
    ],
)
def test_endless_parts_are_given_up_in_bounded_memory(head, more, reason):
    tracemalloc.start()
    try:
        assert read(endless(head, more)) == ([], reason)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20 * LARGEST


@pytest.mark.parametrize("body", [b"Content-Type: image/jpeg\r\n\r\nabc", b"--\r\n\r\nabc"])
def test_a_stream_without_a_boundary_is_refused(body):
    assert read([body], "") == ([], NO_BOUNDARY)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", "frame"),
        ("multipart/x-mixed-replace;boundary=--my boundary", "--my"),
        ('multipart/x-mixed-replace; Boundary = "a;b c" ; charset=x', "a;b c"),
        ("multipart/x-mixed-replace", ""),
        ("multipart/x-mixed-replace; boundary=", ""),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type, boundary):
    assert boundary_of(content_type) == boundary
