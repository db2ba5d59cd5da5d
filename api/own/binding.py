"""The addresses on which the city's own side may listen.

Anyone who can reach its port may read everything that was published, what partners sent, and the page; so the port
stays on this machine. Partners have a server of their own. A container has a network of its own, whose loopback nothing
outside can reach: there, and only if the operator declares it, the own side may listen on all addresses. The operator
then decides what reaches the container: docker-compose.yml publishes the port on the host's loopback alone.
"""

from addresses import is_loopback
from errors import OperatorError

_ALL_ADDRESSES = ("0.0.0.0", "::")


class NotLoopback(OperatorError):
    """The address can be reached by other machines."""


def check_host(host: str, *, contained: bool = False) -> None:
    """Raise `NotLoopback` unless `host` is `localhost` or a loopback address (127.0.0.0/8 or ::1).

    `contained`: the operator declares that this process has a network of its own; `0.0.0.0` and `::` are allowed too.
    """
    if contained and host in _ALL_ADDRESSES:
        return
    if not is_loopback(host):
        raise NotLoopback(
            f"{host!r} is not a loopback address, and who reaches the city's own side reads all of it: use 127.0.0.1,"
            " ::1 or localhost; for partners there is `sistercity serve-partners`"
        )
