"""Partner cities: how each stands, by what the puller has kept of its last attempts. None is asked."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from node.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from store.partner_standing import MetricStanding, PartnerStanding
    from store.retention import KeptCity

_LEVELS: dict[str, Level] = {"fresh": "ok", "withdrawn": "ok", "contradicted": "fail"}
_WHAT_TO_DO = {
    "stale": "does `sistercity pull` run? It goes on when the partner is back",
    "refused": "call the partner; `sistercity pull` goes on when it is mended",
    "contradicted": "`sistercity partner show` shows both signed pieces; nothing more is taken until `partner settle`",
    "no-agreement": "nothing of it is pulled; what was received before stays",
}


def judge_partners(
    standings: "Sequence[PartnerStanding]", metrics: "Sequence[MetricStanding]", kept: "Sequence[KeptCity]"
) -> Iterator[Finding]:
    """One finding for each partner, and one for each of which something is kept longer than agreed.

    `metrics` are those of all partners: where some are stopped and others go on, both are named.
    """
    from federation.wire import rfc3339

    if not standings:
        yield Finding("ok", "partners", "none was ever pulled")
    for found in standings:
        asked = found.since is not None or found.reason is not None
        since = "" if found.since is None or found.standing == "fresh" else f" since {rfc3339(found.since)}"
        why = "" if found.reason is None else f" ({found.detail or found.reason})"
        advice = _WHAT_TO_DO.get(found.standing)
        words = (f"{found.standing}{since}{why}" if asked else f"{found.standing}, it was never asked") + (
            "" if advice is None else f": {advice}"
        )
        words += _stopped([metric for metric in metrics if metric.city == found.city])
        yield Finding(_LEVELS.get(found.standing, "warn"), f"partner {found.city}", words)
    for city in kept:
        if city.overdue:
            words = f"{city.overdue:,} bodies are older than the {city.days:,} days for which they may be kept"
            yield Finding("fail", f"retention {city.city}", f"{words}: `sistercity pull` erases them; does it run?")


def _stopped(metrics: "Sequence[MetricStanding]") -> str:
    stopped = [metric for metric in metrics if metric.standing in ("refused", "contradicted")]
    going_on = [metric.metric for metric in metrics if metric.standing in ("fresh", "withdrawn")]
    if not stopped or not going_on:
        return ""
    told = ", ".join(f"{metric.metric} ({metric.reason})" for metric in stopped)
    return f"; stopped: {told}; {', '.join(going_on)} go on"
