"""The addresses on which the API may listen.

Signatures and agreements between cities come later. Until then anyone who can reach the port may read everything that
was published, and the page; so the port stays on this machine. A container has a network of its own, whose loopback
nothing outside can reach: there, and only if the operator declares it, the API may listen on all addresses. The
operator then decides what reaches the container: docker-compose.yml publishes the port on the host's loopback alone.
"""

from ipaddress import ip_address

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
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotLoopback(
            f"{host!r} is not a loopback address. Signatures and agreements come later; until then the API binds to"
            " loopback only: use 127.0.0.1, ::1 or localhost"
        )
