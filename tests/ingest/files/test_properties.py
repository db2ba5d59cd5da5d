"""Whatever form a file takes, what is imported of it is what independent code finds in it, or it is refused."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from tests.ingest.files.imports import imported, register, rows
from tests.ingest.files.independent import KINDS, Kind
from tests.soak import amount


def zipped(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("export", content)
    return archive.getvalue()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "gzip": gzip.compress,
    "zip": zipped,
    "without the last line end": lambda content: content.rstrip(b"\n"),
}


def reordered(kind: Kind, content: bytes, seed: int) -> bytes:
    """The lines of a table, or of uplinks, or of readings on a line each, in another order."""
    lines = content.splitlines(keepends=True)
    if kind.name == "smart-bins":
        return content
    begin, end = {"green-button": (5, len(lines) - 2), "lorawan": (0, len(lines))}.get(kind.name, (1, len(lines)))
    middle = lines[begin:end]
    random.Random(seed).shuffle(middle)
    return b"".join((*lines[:begin], *middle, *lines[end:]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=amount(12, soak=500))
@given(data=st.data())
def test_scale_shift_order_chunks_and_encoding_change_no_amount(
    tmp_path: Path, kind: Kind, data: st.DataObject
) -> None:
    step = Decimal(kind.smallest)
    steps = data.draw(st.lists(st.integers(1, int(kind.most / step)), min_size=6, max_size=24), "amounts")
    numbers = [f"{number * step:f}" for number in steps]
    shift, seed = data.draw(st.integers(0, 50), "shift"), data.draw(st.integers(0, 99), "order")
    encoding = data.draw(st.sampled_from(sorted(ENCODINGS)), "encoding")
    wanted = kind.read(kind.write(numbers, shift))
    assert len(wanted) == len(steps)
    half = data.draw(st.sampled_from([0, 4]), "in the first file") if kind.name != "dsny" else 0
    chunks = [kind.write(numbers[:half], shift)] if half else []
    chunks.append(kind.write(numbers[half:], shift + half))
    paths = [tmp_path / f"file-{number}" for number in range(len(chunks))]
    for path, chunk in zip(paths, chunks, strict=True):
        path.write_bytes(ENCODINGS[encoding](reordered(kind, chunk, seed)))
    try:
        report, writer, _ = imported(kind.form(), paths, register(*kind.sources), source="source")
    except NotSuchFile:
        assert half or encoding in ("UTF-16", "byte order mark")
        return
    sent = sum(value for _, value in rows(writer))
    if report.refused:
        assert sent <= sum(wanted)  # an amount that is refused may be 0
        assert report.readings < len(wanted)
    else:
        assert sent == sum(wanted)
    if encoding not in ("UTF-16", "without the last line end"):
        assert report.refused == {}
