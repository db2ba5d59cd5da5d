"""Whether a partner's address lies in the public internet: others need a setting of the operator."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_INSIDE = (".localhost", ".localdomain", ".local", ".internal", ".lan", ".home.arpa")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)


def is_private(url: str) -> bool:
    """Whether the host of an address is this machine or inside a private network, as far as the text tells.

    What a name leads to shows only when it is resolved: see `is_public`. Raises `ValueError` if it is no address.
    """
    host = (urlsplit(url).hostname or "").removesuffix(".")
    try:
        return not is_public(host.partition("%")[0])
    except ValueError:
        pass
    labels = host.split(".")
    # Names without a dot are local; resolvers take a host that ends in a number for an IP address: 127.1, 0x7f000001.
    return len(labels) == 1 or _NUMBER.fullmatch(labels[-1]) is not None or host.endswith(_INSIDE)


def is_public(address: str) -> bool:
    """Whether an IP address lies in the public internet. Raises `ValueError` if it is none."""
    found = ip_address(address)
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None) or found
    return bool(inner.is_global and not inner.is_multicast)
