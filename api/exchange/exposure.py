"""What the partner API needs before other machines may reach it."""

from collections.abc import Collection

from addresses import is_loopback
from errors import OperatorError


class Unprotected(OperatorError):
    """Other machines could reach the server, and something that protects it is not set."""


def check_exposure(host: str, *, tls: bool, proxies: bool, hosts: Collection[str]) -> None:
    """Raise `Unprotected` unless `host` is loopback, or there are names and either TLS or proxies."""
    if is_loopback(host):
        return
    if not tls and not proxies:
        raise Unprotected(
            f"{host!r} can be reached by other machines, and tokens would go over the network in the clear: set"
            " SISTERCITY_EXCHANGE_CERT_FILE and SISTERCITY_EXCHANGE_KEY_FILE, or SISTERCITY_EXCHANGE_PROXIES to the"
            " addresses of the reverse proxy that does TLS"
        )
    if not hosts:
        raise Unprotected(
            f"{host!r} can be reached by other machines: set SISTERCITY_EXCHANGE_HOSTS to the names under which"
            " partners reach this server, as in the identity document"
        )
