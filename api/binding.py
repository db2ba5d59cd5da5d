"""Where the API may listen.

Signatures and agreements between cities come later. Until then whoever can reach the port may read everything that was
published, so the port stays on this machine.
"""

from ipaddress import ip_address


class NotLoopback(ValueError):
    """The API was told to listen where other machines can reach it."""


def loopback_only(host: str) -> None:
    """Raise `NotLoopback` unless `host` is `localhost` or a loopback address (127.0.0.0/8 or ::1)."""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotLoopback(
            f"{host!r} is not a loopback address. Signatures and agreements come later; until then the API binds to"
            " loopback only: use 127.0.0.1, ::1 or localhost"
        )
