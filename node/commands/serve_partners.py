"""`sistercity serve-partners`: what partner cities read."""

from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, serving, wiring
from node.health import RoleHealth
from node.settings import settings

if TYPE_CHECKING:
    from store.database import DatabaseUrl


def serve_partners(
    host: Annotated[str, typer.Option(help="address to listen on; all of them: 0.0.0.0 or ::")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8443,
) -> None:
    """Serve what was agreed to the cities that it was agreed with, until stopped. Holds no key of the city.

    Beyond this machine it needs TLS (SISTERCITY_EXCHANGE_CERT_FILE and _KEY_FILE, read again when renewed) or a reverse
    proxy (SISTERCITY_EXCHANGE_PROXIES), and the names under which partners reach it (SISTERCITY_EXCHANGE_HOSTS).
    """
    from api.door import LOOPBACK_HOSTS
    from api.exchange.app import create_partner_api
    from api.exchange.exposure import check_exposure
    from api.serving import Listening
    from api.tls import renewing_context

    chosen = settings()
    hosts, proxies = serving.named(chosen.exchange_hosts), serving.networks(chosen.exchange_proxies)
    certificate, key = chosen.exchange_cert_file, chosen.exchange_key_file
    check_exposure(host, tls=certificate is not None, proxies=bool(proxies), hosts=hosts)
    tls = None if certificate is None else renewing_context(certificate, key or certificate)
    health = RoleHealth("serve-partners")
    served = serving.Served(health, lifecycle.start("serve-partners", health))
    url, names = wiring.partner_database_url(), hosts or LOOPBACK_HOSTS
    _check_revocations(url)
    app = create_partner_api(serving.facts(), url, names, served)
    serving.run(app, Listening(host, port, tls, proxies), served)


def _check_revocations(url: "DatabaseUrl") -> None:
    """Raise `CommandError` if the file of revocations is here, and the database was restored to before one of them.

    The role of this process may revoke nothing.
    """
    from federation.agreements.revocations import not_applied
    from store.database import connect

    path = wiring.revocations_path()
    if not path.exists():
        return
    with connect(url, name="sistercity serve-partners") as connection:
        if ids := not_applied(connection, path):
            raise wiring.CommandError(
                f"agreement {', '.join(ids)} is in force in this database, and was revoked as {path} says: the database"
                " was restored. `sistercity migrate` revokes it again"
            )
