"""Remove the runtime and the data that this room keeps in a folder: `python -m embedded.remove FOLDER`.

As root, PostgreSQL's files may be in another folder (see `postgres_folder`), which is deleted too. Other files in the
folder stay.
"""

import os
import shutil
import sys
import threading
from pathlib import Path

from embedded.guard import stop_leftovers
from embedded.hold import held
from embedded.postgres_folder import folder_for
from embedded.record import Member
from errors import OperatorError

OURS = ("kafka", "postgres", "postgres-elsewhere", "services.json", "services.json.new", "guard.log", "services.lock")


def remove(home: Path) -> None:
    """Stop services that an owner left running when it ended, and delete this room's files. Raises AlreadyRunning,
    StillStopping, UnsafeFolder, NoUnprivilegedUser."""
    home = home.resolve()
    if not any((home / name).exists() for name in OURS):
        return
    with held(home, Member.of(os.getpid()), threading.Event()):
        folder = folder_for(home)
        stop_leftovers(home, folder)
        shutil.rmtree(folder.path)
        for path in (home / name for name in OURS):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m embedded.remove FOLDER", file=sys.stderr)
        return 2
    try:
        remove(Path(arguments[0]))
    except OperatorError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
