"""The name under which a process joins its group, so that its partitions wait for it while it is restarted."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from node.settings import settings

_MOST = 1024


def host() -> str:
    """The name of this machine or container among those of the city."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", settings().instance or socket.gethostname())[:200]


@contextmanager
def instance(group: str, *, lasting: bool) -> Iterator[str | None]:
    """This process's name in `group` while the context lasts: that of the machine, and the first free number on it.

    A process that starts after another has ended gets its number, and with it its partitions. None, which is a member
    without a name, for a process that is not `lasting`: nobody comes back for its partitions.

    A number is taken by a socket without a file (an abstract one, which Linux alone has), so it is free again however
    the process ends.
    """
    if not lasting or not sys.platform.startswith("linux"):
        yield None
        return
    with socket.socket(socket.AF_UNIX) as taken:
        for number in range(1, _MOST):
            name = f"{host()}-{number}"
            try:
                taken.bind("\0sistercity-" + sha256(f"{group}/{name}".encode()).hexdigest())
            except OSError:
                continue
            yield name
            return
        yield None
