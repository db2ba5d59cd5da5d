"""`sistercity withdraw`: what was published of a window is taken back."""

from typing import Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.publish import head_signer, moment_of

_WAIT_S = 30.0
_PAUSE_S = 0.2


def withdraw(
    metric: Annotated[str, typer.Argument(help="name of the metric")],
    window: Annotated[str, typer.Argument(help="when the window begins: RFC 3339, or a local day")],
    reason: Annotated[str, typer.Option(help="why, in words; it is published")],
) -> None:
    """Take back what was published of a window, in every revision; erased here, and at partners when they pull."""
    from federation.publications.ledger import Ledger
    from federation.publications.publisher import publishing
    from federation.publications.withdrawing import check_reason
    from federation.publications.withdrawing import withdraw as take_back
    from schemas.catalogue import catalogue
    from store.moments import moment

    stop = lifecycle.start("withdraw", metrics=False)
    city = wiring.city()
    if metric not in catalogue():
        raise wiring.CommandError(f"there is no metric {metric!r}")
    start = moment_of(window, city.zone)
    check_reason(reason)
    signer = head_signer()
    ledger = Ledger(wiring.ledger_path(city.id))
    with wiring.database("withdraw") as connection:
        for _ in range(round(_WAIT_S / _PAUSE_S)):
            with publishing(connection, ledger, city.id, city.zone, now_ms(), signer) as appender:
                if appender is not None:
                    made = take_back(appender, catalogue()[metric], start, reason, now_ms())
                    begins = moment(start).isoformat()
                    typer.echo(f"{metric} {made.sequence}: the window from {begins} on is withdrawn, in every revision")
                    return
            if stop.wait(_PAUSE_S):
                return
    raise wiring.CommandError("another publisher is at work, and did not pause for half a minute: try again")
