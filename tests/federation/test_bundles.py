"""A bundle carries the same bytes by file, is verified as if they had been pulled, and holds only what is agreed."""

import asyncio
import io
import tarfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from federation.partners.bundles import BadBundle, export_bundle
from federation.partners.pulling import Pulled, pull_bundle
from federation.publications.chain import ChainEnd
from federation.publications.heads import sign_head
from federation.strict_json import loads
from store.agreements import InstalledAgreement, MetricGrant, install
from store.audit import audit_rows
from store.database import connect
from store.heads import StoredHead, save_head
from store.identities import save_own_identity
from tests.federation.city import HOUR, IMPORT, ISFAHAN, T0, a_published_city
from tests.federation.identity.cities import DAY, NOW, SigningCity
from tests.federation.talking import pulling

pytestmark = pytest.mark.services

HOURS = 4
GIVER, TAKER = SigningCity("isfahan"), SigningCity("hue")
AGREEMENT = InstalledAgreement(
    *("A" * 22, 1, GIVER.thumbprint, TAKER.thumbprint, "hue", b"", "", ()),
    *(NOW - 300 * DAY, NOW + 60 * DAY, False, 600, 2**30, 4),
    (MetricGrant("given", IMPORT.name, T0 + HOUR, 0, 3660),),
)
IN_UTC = replace(ISFAHAN, zone="UTC")


@pytest.fixture
def bundle(second_database_url: str, tmp_path: Path) -> Path:
    """Four hours, of which the agreement gives the bodies of three."""
    with a_published_city(second_database_url, HOURS), connect(second_database_url) as connection:
        save_own_identity(connection, GIVER.thumbprint, "isfahan", 1, GIVER.document(), NOW + 90 * DAY)
        install(connection, AGREEMENT, None)
        [log] = connection.execute("SELECT id::text FROM publication_log").fetchone()
        rows = connection.execute("SELECT metric, sequence, entry FROM publications ORDER BY position").fetchall()
        ends = {metric: ChainEnd(sequence, sha256(entry).hexdigest()) for metric, sequence, entry in rows}
        terms = {"city": "isfahan", "log": log, "number": 1, "position": len(rows), "ends": ends}
        document = sign_head(GIVER.publish, **terms, audit=None, now_ms=NOW)
        save_head(connection, StoredHead(1, NOW, NOW + 7 * DAY, document))
    path = tmp_path / "bundle.tar"
    assert export_bundle(second_database_url, AGREEMENT.id, IN_UTC, path) == (HOURS, HOURS - 1)
    with connect(second_database_url) as connection:
        [line] = (loads(row.line) for row in audit_rows(connection, AGREEMENT.id))
    assert (line["path"], line["page"]) == ("bundle", sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def taker(database_url: str) -> str:
    with connect(database_url) as connection:
        save_own_identity(connection, TAKER.thumbprint, "hue", 1, TAKER.document(), NOW + 90 * DAY)
        received = (MetricGrant("received", IMPORT.name, T0 + HOUR, 0, 3660),)
        ours, theirs = TAKER.thumbprint, GIVER.thumbprint
        install(connection, replace(AGREEMENT, own=ours, partner=theirs, city="isfahan", grants=received), None)
    return database_url


def taken(database_url: str, path: Path) -> Pulled:
    return asyncio.run(pull_bundle(pulling(database_url), path))


def stored(database_url: str) -> tuple[int, int]:
    with connect(database_url) as connection:
        [row] = connection.execute(
            "SELECT (SELECT count(*) FROM partner_entries), (SELECT count(*) FROM partner_bodies)"
        ).fetchall()
    return row


def edited(path: Path, name: str, old: bytes, new: bytes) -> Path:
    """The bundle with one of its files changed."""
    with tarfile.open(path) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}
    assert old in contents[name]
    contents[name] = contents[name].replace(old, new, 1)
    changed = path.with_name("changed.tar")
    with tarfile.open(changed, "w") as archive:
        for member, content in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return changed


def test_a_bundle_is_taken_whole_and_again_changes_nothing(taker: str, bundle: Path) -> None:
    done = taken(taker, bundle)
    assert done.failure is None
    assert (done.result.entries, done.result.bodies) == (HOURS, HOURS - 1)
    assert stored(taker) == (HOURS, HOURS - 1)
    assert taken(taker, bundle).result.entries == 0
    with connect(taker) as connection:  # the cursor of the API, if there was one, is not a place in this file
        assert connection.execute("SELECT DISTINCT cursor FROM entry_cursors").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("entries.jsonl", b'"revision":0', b'"revision":1'),
        (f"bodies/{IMPORT.name}.jsonl", b'"value":', b'"value":1'),
        ("head.jws", b".", b".AAAA"),
        ("identity.jws", b".", b".AAAA"),
    ],
)
def test_a_bundle_that_was_changed_on_its_way_is_refused(
    taker: str, bundle: Path, name: str, old: bytes, new: bytes
) -> None:
    assert taken(taker, edited(bundle, name, old, new)).failure is not None
    assert stored(taker)[1] == 0


def test_what_is_no_bundle_or_of_no_agreement_is_refused_in_words(
    taker: str, bundle: Path, second_database_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"no archive")
    with pytest.raises(BadBundle, match="no bundle"):
        taken(taker, other)
    with pytest.raises(BadBundle, match="not in force"):
        taken(taker, edited(bundle, "bundle.json", b"A" * 22, b"B" * 22))
    with pytest.raises(BadBundle, match="agreement in force"):
        export_bundle(second_database_url, "B" * 22, ISFAHAN, tmp_path / "none.tar")
