from pathlib import Path

from embedded.postgres import NO_PROCESS, forget_holder


def test_the_lock_file_loses_its_process_id_and_keeps_the_shared_memory(tmp_path: Path) -> None:
    lock = tmp_path / "postmaster.pid"
    lock.write_text("1\n/data\n1760000000\n5432\n\n127.0.0.1\n  12345 6\nready   \n")
    forget_holder(lock)
    assert lock.read_text().splitlines() == [
        NO_PROCESS, "/data", "1760000000", "5432", "", "127.0.0.1", "  12345 6", "ready   ",
    ]  # fmt: skip
    forget_holder(tmp_path / "none")
