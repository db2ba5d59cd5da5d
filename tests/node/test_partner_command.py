"""`sistercity partner`: both signed pieces, a decision with a name and a reason, and `verify` afterwards."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from federation.agreements.installing import as_installed
from federation.conformance.node import TellingNode
from federation.identity.document import open_identity
from federation.partners.limits import FetchLimits, Network
from federation.partners.pulling import Pulled, Pulling, pull
from federation.publications.heads import open_head
from node.cli import app
from node.settings import settings
from store.agreements import install
from store.database import connect
from store.identities import save_own_identity
from tests.federation.conformance.serving import GUEST, NOW, Place, every_node

pytestmark = pytest.mark.services

LIE = "two-stories"
DAY = 86_400_000


@pytest.fixture
def node_url(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    values = {"CITY": "isfahan", "DATABASE_URL": database_url, "HOME": tmp_path, "LEDGER": tmp_path / "ledger.jsonl"}
    for name, value in values.items():
        monkeypatch.setenv(f"SISTERCITY_{name}", str(value))
    settings.cache_clear()
    yield database_url
    settings.cache_clear()


@contextmanager
def met(database_url: str, lie: str) -> Iterator[tuple[Place, Pulling]]:
    """A node of ours that has an agreement with a lying node, and has not pulled yet."""
    with every_node([lie]) as places:
        place = places[lie]
        own = GUEST.keys.thumbprint
        with connect(database_url) as connection:
            save_own_identity(connection, own, GUEST.city, 1, GUEST.identity(), NOW + 30 * DAY)
            install(connection, replace(as_installed(place.agreement, own), addresses=(place.url,)), None)
        yield (
            place,
            Pulling(database_url, [GUEST.keys.access], FetchLimits(attempts=1), Network(private_addresses=True)),
        )


@contextmanager
def contradicted(database_url: str) -> Iterator[tuple[Place, Pulling]]:
    """A node of ours after it has pulled two stories of the lying node."""
    with met(database_url, LIE) as (place, pulling):
        assert visit(pulling).failure is None
        place.node.visit = 2
        assert "`sistercity partner show" in str(visit(pulling).failure)
        assert isinstance(place.node, TellingNode)
        yield place, pulling


def visit(pulling: Pulling) -> Pulled:
    [done] = asyncio.run(pull(pulling))
    return done


def run(*words: str, answer: str = "", code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), input=answer)
    assert result.exit_code == code, result.output
    return result.output + (str(result.exception) if result.exception else "")


def test_a_lying_node_is_shown_settled_and_pulled_again_and_its_lie_stays_proven(node_url: str, tmp_path: Path) -> None:
    with contradicted(node_url) as (place, pulling):
        city, metric = place.city.city, place.agreement.grants[0].metrics[0]
        assert f"{city} has contradicted itself about {metric}" in run("verify", code=1)
        shown = run("partner", "show", city, "--out", str(tmp_path / "proof"))
        assert "nobody has settled it" in shown and "first : head 1" in shown and "second: head 2" in shown
        identity = open_identity(place.city.identity(), pinned=place.city.keys.thumbprint, now_ms=None)
        for name, number in (("first", 1), ("second", 2)):
            document = (tmp_path / "proof" / f"1-{metric}-{name}.jws").read_text()
            assert open_head(document, identity, None).number == number
        words = ("partner", "settle", city, metric, "--go-on-with", "replaced", "--by", "N. N.", "--reason", "a fire")
        run(*words, answer="n\n", code=1)
        assert visit(pulling).failure is not None
        assert "entries went into the proof" in run(*words, answer="y\n")
        assert visit(pulling).failure is None
        assert "by N. N., going on with what was replaced:\n    a fire" in run("partner", "show", city)
        verified = run("verify")
        assert "settled by N. N." in verified and "no contradiction" in verified
        assert f"{city} contradicted itself about {metric}; settled by N. N.: a fire" in run("status")
        assert "waits for a decision" in run(*words, code=1)
        skipping = ("partner", "skip", city, metric, "999", "--by", "N. N.", "--reason", "wrong")
        assert "body 999 of" in run(*skipping, code=1)
        assert "never an agreement with atlantis" in run("partner", "show", "atlantis", code=1)
