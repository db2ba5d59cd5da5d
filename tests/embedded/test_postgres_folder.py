import os
import stat
from pathlib import Path

import psycopg
import pytest

from embedded import postgres
from embedded.postgres_folder import LASTING, UnsafeFolder, elsewhere_name, folder_for, nobody, own_folder
from embedded.remove import remove

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def modes_above(folder: Path) -> dict[Path, int]:
    return {parent: parent.stat().st_mode for parent in folder.parents}


def test_an_ordinary_users_files_are_in_the_project_folder_and_closed_to_others(tmp_path: Path) -> None:
    folder = folder_for(tmp_path, root=False)
    assert (folder.path, folder.user) == (tmp_path / "postgres", None)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap").chmod(0o777)
    with pytest.raises(UnsafeFolder):
        own_folder(tmp_path / "trap", 0o711)


def test_a_link_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "trap").symlink_to(tmp_path / "target")
    with pytest.raises(UnsafeFolder):
        own_folder(tmp_path / "trap", 0o711)


@as_root
def test_a_folder_that_another_user_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir(mode=0o700)
    os.chown(tmp_path / "trap", nobody().uid, nobody().gid)
    with pytest.raises(UnsafeFolder):
        own_folder(tmp_path / "trap", 0o711)


def test_a_project_folder_that_is_made_again_gets_another_folder(tmp_path: Path) -> None:
    first = elsewhere_name(tmp_path)
    assert elsewhere_name(tmp_path) == first
    (tmp_path / "postgres-elsewhere").unlink()
    assert elsewhere_name(tmp_path) != first


@as_root
@pytest.mark.services
def test_below_a_closed_folder_root_uses_another_folder_and_changes_no_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "home"
    home.mkdir(mode=0o700)
    before = modes_above(home)
    folder = folder_for(home)
    try:
        assert (folder.path.parent, folder.user) == (LASTING, nobody())
        with psycopg.connect(postgres.start(folder).url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for path, owner, mode in (
            (folder.path, 0, 0o711),
            (folder.path / "password", 0, 0o600),
            (folder.data, nobody().uid, 0o700),
        ):
            found = path.stat()
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, mode), path
        assert not (folder.path / "password.new").exists()
        assert modes_above(home) == before
    finally:
        remove(home)
    assert not folder.path.exists()
    assert not postgres.running(folder)


@as_root
def test_below_open_folders_root_uses_the_project_folder_and_lets_the_user_enter(tmp_path: Path) -> None:
    home = Path(f"/var/tmp/sistercity-test-{os.getpid()}")
    home.mkdir(mode=0o700)
    try:
        folder = folder_for(home)
        assert (folder.path, folder.user) == (home / "postgres", nobody())
        assert [stat.S_IMODE(path.stat().st_mode) for path in (home, folder.path)] == [0o711, 0o711]
    finally:
        remove(home)
        home.rmdir()
