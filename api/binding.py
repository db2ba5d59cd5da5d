"""Where the API may listen.

Signatures and agreements between cities come later. Until then whoever can reach the port may read everything that was
published, and the page; so the port stays on this machine. A container has a network of its own, in which loopback
would be reached by nobody: there, and only if its operator says that it is one, the API may listen on all of it. What
reaches it from outside is then what the operator lets in: docker-compose.yml lets in this machine's loopback alone.
"""

from ipaddress import ip_address

from errors import OperatorError

_ALL_OF_A_CONTAINER = ("0.0.0.0", "::")


class NotLoopback(OperatorError):
    """The API was told to listen where other machines can reach it."""


def check_host(host: str, *, contained: bool = False) -> None:
    """Raise `NotLoopback` unless `host` is `localhost` or a loopback address (127.0.0.0/8 or ::1).

    `contained`: the operator says that this process has a network of its own; then `0.0.0.0` and `::` do as well.
    """
    if contained and host in _ALL_OF_A_CONTAINER:
        return
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotLoopback(
            f"{host!r} is not a loopback address. Signatures and agreements come later; until then the API binds to"
            " loopback only: use 127.0.0.1, ::1 or localhost"
        )
