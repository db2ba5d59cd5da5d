import gzip
import resource
import zipfile
from pathlib import Path

import pytest

from ingest.files import unpacking
from ingest.files.reading import NotSuchFile
from ingest.files.unpacking import unpacked

CONTENT = b"measured_on,ac_power\n" * 100


@pytest.fixture
def archive(tmp_path: Path):
    def write(**members: bytes) -> Path:
        path = tmp_path / "download.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path

    return write


def content(path: Path) -> bytes:
    with unpacked(path) as plain:
        assert plain.name == path.name
        return plain.read_bytes()


def test_what_is_packed_is_read_and_what_is_not_is_the_file_itself(tmp_path: Path, archive) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_bytes(CONTENT)
    with unpacked(plain) as same:
        assert same == plain
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(CONTENT) + gzip.compress(CONTENT))
    assert content(packed) == CONTENT * 2
    assert content(archive(one=CONTENT)) == CONTENT


def test_the_copy_is_gone_afterwards(archive) -> None:
    with unpacked(archive(one=CONTENT)) as plain:
        assert plain.exists()
    assert not plain.parent.exists()


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, archive, monkeypatch) -> None:
    monkeypatch.setattr(unpacking, "LARGEST_UNPACKED", 3 << 20)
    packed = tmp_path / "bomb.gz"
    packed.write_bytes(gzip.compress(bytes(4 << 20)))
    for path in (packed, archive(one=bytes(4 << 20))):
        with pytest.raises(NotSuchFile, match="larger than 3 MB"):
            content(path)


def test_an_archive_that_is_none_or_holds_several_files_is_refused_in_words(tmp_path: Path, archive) -> None:
    with pytest.raises(NotSuchFile, match=r"holds 2 files \(a, b\)"):
        content(archive(a=CONTENT, b=CONTENT))
    with pytest.raises(NotSuchFile, match="holds 0 files"):
        content(archive())
    whole = archive(one=CONTENT).read_bytes()
    cut = tmp_path / "cut"
    for damaged in (whole[:40], whole[:-30], gzip.compress(CONTENT)[:-9], b"\x1f\x8b", b"PK\x03\x04"):
        cut.write_bytes(damaged)
        with pytest.raises(NotSuchFile, match="cut: cannot be unpacked"):
            content(cut)


def test_a_disk_without_room_is_no_fault_of_the_file(tmp_path: Path, archive) -> None:
    """A file that is settled as unreadable would not be looked at again when there is room."""
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(bytes(1 << 20)))
    paths = (packed, archive(one=bytes(1 << 20)))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, usual[1]))
    try:
        for path in paths:
            with pytest.raises(OSError, match="File too large"):
                content(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
