"""How each partner stands: whether what we hold of it is fresh, and if not, why and since when.

Times are milliseconds since 1970, UTC.
"""

from dataclasses import dataclass
from typing import Literal

from store.database import Connection
from store.moments import milliseconds, moment

StandingWord = Literal["fresh", "stale", "refused", "contradicted", "withdrawn", "no-agreement"]
"""`stale`: the partner does not answer, or was not asked for a while. `refused`: it sent what it must not.
`contradicted`: it has told two stories, and nothing more is taken. `withdrawn`: it took its newest window back.
`no-agreement`: nothing in force lets us read it; what was received before stays."""


NOTHING_YET = "nothing-yet"
"""The reason of a pull that went well, of a city that has published nothing so far."""


@dataclass(frozen=True, slots=True)
class PartnerStanding:
    """One partner as a whole. `since` is None where nothing has happened yet; `reason` is a short, fixed word.

    Of `no-agreement`, `since` is the end of the last agreement, or the last pull where an agreement gives other things.

    `received_at` is when the last pull went well.
    """

    city: str
    thumbprint: str
    standing: StandingWord
    since: int | None
    reason: str | None
    detail: str | None
    received_at: int | None


@dataclass(frozen=True, slots=True)
class MetricStanding:
    """One metric of a partner: of those that an agreement gives us, and those that were received before.

    `sequence` is that of its newest entry, `until` the end of the newest window with figures.
    """

    city: str
    metric: str
    standing: StandingWord
    since: int | None
    reason: str | None
    detail: str | None
    sequence: int | None
    until: int | None


def partner_standings(connection: Connection, now_ms: int) -> list[PartnerStanding]:
    """Every partner that gives us something, or has, by city."""
    rows = connection.execute(_PARTNERS, {"now": moment(now_ms)})
    return [
        PartnerStanding(city, thumbprint, standing, _ms(since), reason, detail, _ms(received))
        for city, thumbprint, standing, since, reason, detail, received in rows
    ]


def metric_standings(connection: Connection, now_ms: int) -> list[MetricStanding]:
    """Every metric of every partner, by city and metric."""
    rows = connection.execute(_METRICS, {"now": moment(now_ms)})
    return [
        MetricStanding(city, metric, standing, _ms(since), reason, detail, sequence, _ms(until))
        for city, metric, standing, since, reason, detail, sequence, until in rows
    ]


def last_successes(connection: Connection) -> dict[str, int]:
    """By agreement, when its city was last pulled to its end."""
    rows = connection.execute(
        "SELECT agreement, succeeded_at FROM pulls WHERE metric = '' AND succeeded_at IS NOT NULL"
    )
    return {agreement: milliseconds(at) for agreement, at in rows}


def record_pull(
    connection: Connection,
    agreement: str,
    thumbprint: str,
    metric: str,
    *,
    at: int,
    fresh_until: int,
    reason: str | None = None,
    detail: str | None = None,
) -> None:
    """Keep the outcome of a pull; `reason` and `detail` where it went wrong, and then `fresh_until` is not moved, or
    `NOTHING_YET` and what that means where there was nothing to store.

    An empty `metric` is the part that concerns all metrics of the agreement.
    """
    well = reason in (None, NOTHING_YET)
    connection.execute(
        """
        INSERT INTO pulls AS known
            (agreement, metric, thumbprint, attempted_at, succeeded_at, fresh_until, failing_since, reason, detail)
        VALUES (%(agreement)s, %(metric)s, %(thumbprint)s, %(at)s, %(good)s, %(fresh)s, %(bad)s, %(reason)s, %(detail)s)
        ON CONFLICT (agreement, metric) DO UPDATE SET
            attempted_at = excluded.attempted_at, reason = excluded.reason, detail = excluded.detail,
            succeeded_at = coalesce(excluded.succeeded_at, known.succeeded_at),
            fresh_until = coalesce(excluded.fresh_until, known.fresh_until),
            failing_since = CASE WHEN excluded.failing_since IS NULL THEN NULL
                                 ELSE coalesce(known.failing_since, excluded.failing_since) END
        """,
        {
            "agreement": agreement,
            "metric": metric,
            "thumbprint": thumbprint,
            "at": moment(at),
            "good": moment(at) if well else None,
            "fresh": moment(fresh_until) if well else None,
            "bad": None if well else moment(at),
            "reason": reason,
            "detail": detail,
        },
    )


def _ms(when: object) -> int | None:
    return None if when is None else milliseconds(when)  # type: ignore[arg-type]


# A pull of a metric that went wrong is newer than the agreement's own outcome, which then went well.
_STANDING = """
    CASE WHEN NOT agreed THEN 'no-agreement'
         WHEN contradicted_at IS NOT NULL THEN 'contradicted'
         WHEN reason NOT IN ('unreachable', 'nothing-yet') THEN 'refused'
         WHEN reason = 'unreachable' OR fresh_until IS NULL OR fresh_until < %(now)s THEN 'stale'
         {withdrawn} ELSE 'fresh' END
"""

_SINCE = """
    CASE WHEN NOT agreed THEN CASE WHEN over_at <= %(now)s THEN over_at ELSE succeeded_at END
         WHEN contradicted_at IS NOT NULL THEN contradicted_at
         WHEN reason NOT IN ('unreachable', 'nothing-yet') THEN failing_since
         {withdrawn} ELSE succeeded_at END
"""

_OUTCOMES = """
    WITH given AS (
        SELECT id AS agreement, partner AS thumbprint, agreements_in_force.city, metric FROM agreements_in_force
        JOIN grants ON agreement = id AND grants.version = agreements_in_force.version AND direction = 'received'
    ), known AS (
        SELECT thumbprint, city FROM partners WHERE thumbprint IS NOT NULL
        UNION SELECT thumbprint, city FROM given
    ), over AS (
        SELECT partner AS thumbprint, max(least(valid_until, revoked_at, ends.received_at)) AS over_at
        FROM agreements LEFT JOIN agreement_revocations USING (id)
        LEFT JOIN identity_revocations AS ends ON ends.thumbprint = partner GROUP BY partner
    )
"""

_PARTNERS = f"""
    {_OUTCOMES}, outcome AS (
        SELECT DISTINCT ON (thumbprint) * FROM pulls
        WHERE agreement IN (SELECT agreement FROM given)
           OR thumbprint NOT IN (SELECT thumbprint FROM given)
        ORDER BY thumbprint, reason IS NULL, (metric <> ''), succeeded_at DESC NULLS LAST
    ), received AS (
        SELECT thumbprint, max(succeeded_at) AS succeeded_at FROM pulls WHERE metric = '' GROUP BY thumbprint
    ), told AS (
        SELECT DISTINCT ON (thumbprint) thumbprint, reason AS contradiction, found_at AS contradicted_at
        FROM contradictions WHERE settled_at IS NULL ORDER BY thumbprint, found_at
    ), joined AS (
        SELECT city, known.thumbprint, known.thumbprint IN (SELECT thumbprint FROM given) AS agreed, contradicted_at,
               contradiction, reason, detail, failing_since, fresh_until, received.succeeded_at, over_at
        FROM known LEFT JOIN outcome USING (thumbprint) LEFT JOIN received USING (thumbprint)
        LEFT JOIN told USING (thumbprint) LEFT JOIN over USING (thumbprint)
    )
    SELECT city, thumbprint, {_STANDING.format(withdrawn="")}, {_SINCE.format(withdrawn="")},
           coalesce(contradiction, reason), detail, succeeded_at
    FROM joined ORDER BY city
"""

_METRICS = f"""
    {_OUTCOMES}, listed AS (
        SELECT thumbprint, city, metric FROM given
        UNION SELECT thumbprint, city, metric FROM known JOIN entry_ends USING (thumbprint)
    ), outcome AS (
        SELECT DISTINCT ON (thumbprint, metric) thumbprint, metric, reason, detail, failing_since, fresh_until,
               succeeded_at
        FROM (
            SELECT given.thumbprint, given.metric, pulls.reason, detail, failing_since, fresh_until, succeeded_at
            FROM given JOIN pulls ON pulls.agreement = given.agreement AND pulls.metric IN ('', given.metric)
        ) AS each ORDER BY thumbprint, metric, reason IS NULL, succeeded_at DESC NULLS LAST
    ), told AS (
        SELECT thumbprint, metric AS told_metric, reason AS contradiction, found_at AS contradicted_at
        FROM contradictions WHERE settled_at IS NULL
    ), joined AS (
        SELECT DISTINCT ON (city, metric) city, metric, listed.thumbprint,
               EXISTS (SELECT FROM given WHERE given.thumbprint = listed.thumbprint AND given.metric = listed.metric)
                   AS agreed,
               contradicted_at, contradiction, reason, detail, failing_since, fresh_until, succeeded_at, over_at
        FROM listed LEFT JOIN outcome USING (thumbprint, metric) LEFT JOIN over USING (thumbprint)
        LEFT JOIN told ON told.thumbprint = listed.thumbprint AND told_metric IN ('', metric)
        ORDER BY city, metric, contradicted_at
    )
    SELECT city, metric, {_STANDING.format(withdrawn="WHEN newest.withdrawn THEN 'withdrawn'")},
           {_SINCE.format(withdrawn="WHEN newest.withdrawn THEN newest.published_at")},
           coalesce(contradiction, reason), detail, ended.sequence, newest.window_end
    FROM joined LEFT JOIN entry_ends AS ended USING (thumbprint, metric)
    LEFT JOIN LATERAL (
        SELECT window_end, kind = 'withdrawal' AS withdrawn, published_at FROM partner_publications AS held
        WHERE held.city = joined.city AND held.metric = joined.metric AND kind <> 'skip'
        ORDER BY window_start DESC, revision DESC LIMIT 1
    ) AS newest ON true
    ORDER BY city, metric
"""
