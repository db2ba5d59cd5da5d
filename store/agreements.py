"""Agreements that are installed on this node: what is in force, and what was revoked.

Whoever installs one has verified it. Times are milliseconds since 1970, UTC. What partners may read by an agreement is
decided in the views of the database (`agreed_entries`, `agreed_bodies`, `agreed_cells`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from errors import OperatorError
from store.database import Connection
from store.moments import milliseconds, moment


@dataclass(frozen=True, slots=True)
class MetricGrant:
    """A metric that this city gives or receives: windows from `since` on, `delay_seconds` after they were published,
    to be kept for `retention_days` after their end."""

    direction: Literal["given", "received"]
    metric: str
    since: int
    delay_seconds: int
    retention_days: int


@dataclass(frozen=True, slots=True)
class InstalledAgreement:
    """One version of an agreement between `own`, this city's identity, and `partner`, that of `city`.

    `hash` is the SHA-256 of what was signed. `addresses` are those of the partner that the operator has allowed. The
    limits are those of the partner's requests to us.
    """

    id: str
    version: int
    own: str
    partner: str
    city: str
    document: bytes
    hash: str
    addresses: tuple[str, ...]
    valid_from: int
    valid_until: int
    witness: bool
    requests_per_minute: int
    bytes_per_hour: int
    concurrent_requests: int
    grants: tuple[MetricGrant, ...]

    def metrics(self, direction: Literal["given", "received"]) -> tuple[str, ...]:
        """The names of the metrics of one direction."""
        return tuple(grant.metric for grant in self.grants if grant.direction == direction)


@dataclass(frozen=True, slots=True)
class KnownAgreement:
    """A version of an agreement and what became of it.

    `in_force`: it holds now. `reason`: why the agreement was revoked, None if it was not.
    """

    agreement: InstalledAgreement
    in_force: bool
    reason: str | None
    revoked_at: int | None


class InstallRefused(OperatorError):
    """An agreement contradicts what is installed here. `reason` is a short, fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def install(connection: Connection, new: InstalledAgreement, supersedes: str | None) -> bool:
    """Keep a version of an agreement; returns False if it was here already.

    `supersedes` is the hash that it names of the version before. Raises `InstallRefused`: "revoked",
    "revoked-identity", "rolled-back", "contradiction" (another document of this version, or one that does not follow
    the newest), "other-identity" of a known id or city, "other-city" of a known identity.
    """
    with connection.transaction():
        connection.execute("LOCK TABLE agreements, agreement_revocations, grants IN SHARE ROW EXCLUSIVE MODE")
        gone = connection.execute("SELECT FROM agreement_revocations WHERE id = %s", (new.id,)).fetchone()
        if gone is not None:
            raise InstallRefused("revoked", f"agreement {new.id} was revoked, and its id never returns: make a new one")
        if is_known(_read(connection, "agreements", new.id), new, supersedes):
            return False
        _check_city(connection, new)
        connection.execute(
            "INSERT INTO agreements (id, version, own, partner, city, document, hash, addresses, valid_from,"
            " valid_until, witness, requests_per_minute, bytes_per_hour, concurrent_requests)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(new.id, new.version, new.own, new.partner, new.city, new.document, new.hash, list(new.addresses)),
                *(moment(new.valid_from), moment(new.valid_until), new.witness),
                *(new.requests_per_minute, new.bytes_per_hour, new.concurrent_requests),
            ),
        )
        for grant in new.grants:
            delay = timedelta(seconds=grant.delay_seconds)
            connection.execute(
                "INSERT INTO grants (agreement, version, direction, metric, since, delay, retention_days)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    *(new.id, new.version, grant.direction, grant.metric, moment(grant.since), delay),
                    grant.retention_days,
                ),
            )
    return True


def in_force(connection: Connection) -> list[InstalledAgreement]:
    """The agreements that hold now, one version of each, ordered by city."""
    with connection.transaction():
        return _read(connection, "agreements_in_force")


def partner_of(connection: Connection, agreement: str) -> str | None:
    """The identity of the city with which an agreement is in force."""
    row = connection.execute("SELECT partner FROM agreements_in_force WHERE id = %s", (agreement,)).fetchone()
    return None if row is None else str(row[0])


def known_agreements(connection: Connection, agreement: str | None = None) -> list[KnownAgreement]:
    """Every version of every agreement, or of one, ordered by city, id and version."""
    with connection.transaction():
        holding = {(each.id, each.version) for each in _read(connection, "agreements_in_force", agreement)}
        revoked = {
            id_: (reason, milliseconds(at))
            for id_, reason, at in connection.execute("SELECT id, reason, revoked_at FROM agreement_revocations")
        }
        return [
            KnownAgreement(each, (each.id, each.version) in holding, *revoked.get(each.id, (None, None)))
            for each in _read(connection, "agreements", agreement)
        ]


def revoke(connection: Connection, agreement: str, reason: str) -> bool:
    """End an agreement, in every version, from the next request on; its id never returns.

    Returns False if it was revoked before. An id that is not installed is revoked as well: it can't be installed then.
    """
    done = connection.execute(
        "INSERT INTO agreement_revocations (id, reason) VALUES (%s, %s) ON CONFLICT DO NOTHING", (agreement, reason)
    )
    return done.rowcount == 1


def revocations(connection: Connection) -> list[tuple[str, str]]:
    """The ids of all revoked agreements, with the reasons."""
    return connection.execute("SELECT id, reason FROM agreement_revocations ORDER BY revoked_at, id").fetchall()


def allow_addresses(connection: Connection, agreement: str, addresses: Sequence[str]) -> bool:
    """Let the partner of an agreement be asked at these addresses. Returns False if there is no such agreement."""
    done = connection.execute("UPDATE agreements SET addresses = %s WHERE id = %s", (list(addresses), agreement))
    return done.rowcount > 0


def is_known(known: Sequence[InstalledAgreement], new: InstalledAgreement, supersedes: str | None) -> bool:
    """Whether a version is among those that are known of its id, in the order of their versions.

    Raises `InstallRefused` if it can't follow them: "other-identity", "rolled-back" or "contradiction".
    """
    if any((each.own, each.partner) != (new.own, new.partner) for each in known):
        raise InstallRefused("other-identity", f"agreement {new.id} is between other identities here")
    hashes = {each.version: each.hash for each in known}
    if new.version in hashes:
        if hashes[new.version] != new.hash:
            words = f"another version {new.version} of agreement {new.id} is installed: make the next version"
            raise InstallRefused("contradiction", words)
        return True
    newest = max(hashes, default=None)
    if newest is None:
        return False
    if new.version < newest:
        raise InstallRefused("rolled-back", f"version {newest} of agreement {new.id} is installed")
    if new.version > newest + 1:
        words = f"version {newest} of agreement {new.id} is installed: install version {newest + 1} first"
        raise InstallRefused("contradiction", words)
    if supersedes != hashes[newest]:
        words = f"version {new.version} of agreement {new.id} supersedes another version {newest} than is installed"
        raise InstallRefused("contradiction", words)
    return False


def _check_city(connection: Connection, new: InstalledAgreement) -> None:
    """Raise `InstallRefused` if the partner's city, or its identity, is known here by another one."""
    gone = connection.execute(
        "SELECT FROM identity_revocations WHERE thumbprint IN (%s, %s)", (new.own, new.partner)
    ).fetchone()
    if gone is not None:
        raise InstallRefused("revoked-identity", f"the identity of this city or of {new.city} is revoked")
    others = connection.execute(
        "SELECT id, city, partner FROM agreements WHERE now() < valid_until"
        " AND (lower(city) = lower(%(city)s) AND partner <> %(partner)s OR city <> %(city)s AND partner = %(partner)s)"
        " AND NOT EXISTS (SELECT FROM agreement_revocations AS revoked WHERE revoked.id = agreements.id)"
        " AND NOT EXISTS (SELECT FROM identity_revocations WHERE thumbprint = partner)",
        {"city": new.city, "partner": new.partner},
    ).fetchall()
    for id_, city, partner in others:
        if partner == new.partner:
            raise InstallRefused("other-city", f"the identity of {new.city} is known here as {city}: agreement {id_}")
        words = f"{city} is known here with another identity, by agreement {id_}. If it has a new one, which its people"
        raise InstallRefused("other-identity", f"{words} confirm by telephone, revoke that agreement first")


_COLUMNS = (
    "id, version, own, partner, city, document, hash, addresses, valid_from, valid_until, witness,"
    " requests_per_minute, bytes_per_hour, concurrent_requests"
)


def _read(connection: Connection, source: str, agreement: str | None = None) -> list[InstalledAgreement]:
    """The agreements of a table or view, with their grants."""
    grants: dict[tuple[str, int], list[MetricGrant]] = defaultdict(list)
    terms = {"id": agreement}
    for id_, version, direction, metric, since, delay, days in connection.execute(
        "SELECT agreement, version, direction, metric, since, delay, retention_days FROM grants"
        " WHERE %(id)s::text IS NULL OR agreement = %(id)s ORDER BY direction, metric",
        terms,
    ):
        held = (milliseconds(since), int(delay.total_seconds()), days)
        grants[id_, version].append(MetricGrant(direction, metric, *held))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {source} WHERE %(id)s::text IS NULL OR id = %(id)s ORDER BY city, id, version", terms
    )
    return [_agreement(row, tuple(grants[row[0], row[1]])) for row in rows]


def _agreement(row: tuple[Any, ...], grants: tuple[MetricGrant, ...]) -> InstalledAgreement:
    id_, version, own, partner, city, document, hash_, addresses, since, until, witness, requests, size, concurrent = (
        row
    )
    return InstalledAgreement(
        *(id_, version, own, partner, city, document, hash_, tuple(addresses)),
        *(milliseconds(since), milliseconds(until), witness, requests, size, concurrent, grants),
    )
