"""What the text of an address says by itself. Every room may import this one; it imports none."""

from ipaddress import ip_address
from urllib.parse import SplitResult


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself (127.0.0.0/8, ::1, localhost), without asking anybody."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_safe_on_its_way(url: SplitResult) -> bool:
    """Whether nobody between can read what goes to an address: https://, or http:// to this machine itself."""
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
