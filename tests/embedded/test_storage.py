"""A formatted storage that is copied: what stays the same, and what must not."""

from pathlib import Path

import pytest

from embedded import storage
from embedded.storage import IDS


def properties(folder: Path) -> dict[str, str]:
    lines = (folder / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    folder = tmp_path / "pattern"
    folder.mkdir()
    (folder / "meta.properties").write_text("#\n#a day\ncluster.id=mine\ndirectory.id=here\nnode.id=1\nversion=1\n")
    (folder / "bootstrap.checkpoint").write_bytes(b"\0levels")
    return folder


def test_a_copy_is_another_cluster_with_the_same_features(tmp_path: Path, pattern: Path) -> None:
    clusters = [storage.copy(pattern, tmp_path / name) for name in ("a", "b")]
    found = [properties(tmp_path / name) for name in ("a", "b")]
    assert [each["cluster.id"] for each in found] == clusters
    ids = [each[name] for each in (*found, properties(pattern)) for name in IDS]
    assert len(set(ids)) == len(ids)
    for name, each in zip(("a", "b"), found, strict=True):
        assert {**properties(pattern), **{known: each[known] for known in IDS}} == each
        assert (tmp_path / name / "bootstrap.checkpoint").read_bytes() == b"\0levels"


def test_what_is_kept_is_kept_once_and_where_it_cannot_be_nothing_happens(tmp_path: Path, pattern: Path) -> None:
    kept = tmp_path / "kept"
    storage.keep(pattern, kept)
    assert properties(kept) == properties(pattern)
    storage.copy(kept, other := tmp_path / "other")
    storage.keep(other, kept)  # another process was first
    assert properties(kept) == properties(pattern)
    (tmp_path / "file").touch()
    storage.keep(pattern, tmp_path / "file" / "kept")
    assert {path.name for path in tmp_path.iterdir()} == {"pattern", "kept", "other", "file"}
