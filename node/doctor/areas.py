"""The areas: whether each has as many contributors registered as its rule asks."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from node.clock import now_ms
from node.doctor.finding import Finding

if TYPE_CHECKING:
    from ingest.area_report import VersionReport
    from store.database import DatabaseUrl

_NAMED = 3


def examine_areas(database_url: "DatabaseUrl", metrics: Iterable[str], limit_s: int) -> "Iterator[Finding]":
    """Examine the areas of these metrics. `limit_s`: seconds for each statement. Raises psycopg's errors."""
    import psycopg

    from ingest.area_report import present, report
    from schemas.catalogue import catalogue
    from store import inspection

    try:
        with inspection.read_only_connection(database_url, limit_s) as connection:
            now = now_ms()
            found = {name: present(report(connection, catalogue()[name], now), now) for name in metrics}
    except psycopg.errors.QueryCanceled:
        words = f"the register can't be counted within {limit_s} s: see `sistercity areas show METRIC`"
        return iter([Finding("warn", "areas", words)])
    return judge_areas({name: version for name, version in found.items() if version is not None})


def judge_areas(present: "Mapping[str, VersionReport]") -> Iterator[Finding]:
    """Judge each metric's areas that are valid now."""
    from ingest.area_report import too_few

    for metric, version in sorted(present.items()):
        what, few = f"areas of {metric}", too_few(version)
        words = [
            f"{each.class_} below {each.minimum} in {len(each.areas)} of {len(version.areas)}: {_listed(each.areas)}"
            for each in few
        ]
        if not few:
            yield Finding("ok", what, f"each of {len(version.areas)} has the contributors that its rule asks")
        elif all(len(each.areas) == len(version.areas) for each in few):
            yield Finding("ok", what, f"nothing can be shown of {', '.join(each.class_ for each in few)}: too few")
        else:
            yield Finding(
                "warn",
                what,
                f"{'; '.join(words)}. These cells stay suppressed; a redraw that added them to others would show them",
            )


def _listed(areas: "Iterable[tuple[str, int]]") -> str:
    named = [f"{name} ({contributors})" for name, contributors in areas]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more
