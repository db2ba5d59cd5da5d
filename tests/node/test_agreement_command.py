"""`sistercity agreement`: from a proposal to its end, on both sides, and what each command refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from federation.agreements.document import BadAgreement
from federation.identity.fingerprint import digits
from federation.identity.keys import write_key
from node.cli import app
from node.clock import now_ms
from node.settings import settings
from node.wiring import CommandError
from store.agreements import InstallRefused, in_force, known_agreements
from store.database import connect
from store.identities import save_identity, save_own_identity
from tests.federation.identity.cities import DAY, SigningCity


class Office:
    """A city hall: its keys and document in a folder, and its node's database, if it has one."""

    def __init__(self, city: str, folder: Path, monkeypatch: pytest.MonkeyPatch, database_url: str = "") -> None:
        self.city = SigningCity(city)
        self.home = folder / city
        self._folder, self._monkeypatch, self.database_url = folder, monkeypatch, database_url
        keys = self.home / "identity"
        keys.mkdir(parents=True)
        write_key(keys / "identity.key", self.city.identity, "identity", city)
        self.document = self.issued(1)
        self.document_file = keys / "identity.jws"
        self.document_file.write_text(self.document)
        if database_url:
            with connect(database_url) as connection:
                save_own_identity(connection, self.city.thumbprint, city, 1, self.document, now_ms() + DAY)

    def issued(self, version: int, **changed) -> str:
        return self.city.document(version, issued_at=now_ms(), expires_at=now_ms() + 30 * DAY, keys=[], **changed)

    def run(self, *arguments: object) -> str:
        """What `sistercity agreement` prints in this city hall."""
        self._monkeypatch.chdir(self._folder)
        self._monkeypatch.setenv("SISTERCITY_HOME", str(self.home))
        self._monkeypatch.setenv("SISTERCITY_DATABASE_URL", self.database_url)
        settings.cache_clear()
        result = CliRunner().invoke(app, ["agreement", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    def refuses(self, *arguments: object, error: type[Exception] = BadAgreement) -> str:
        with pytest.raises(error) as refused:
            self.run(*arguments)
        return getattr(refused.value, "reason", str(refused.value))


@pytest.fixture(autouse=True)
def _settings_of_the_test() -> Iterator[None]:
    yield
    settings.cache_clear()


@pytest.fixture
def without_nodes(tmp_path, monkeypatch) -> tuple[Office, Office]:
    return Office("isfahan", tmp_path, monkeypatch), Office("hue", tmp_path, monkeypatch)


def test_each_command_that_signs_shows_the_fingerprint_of_the_other_city(without_nodes, tmp_path):
    isfahan, hue = without_nodes
    said = isfahan.run("propose", hue.document_file, "--give", "energy.import", "--out", "proposal")
    assert digits(hue.city.thumbprint) in said
    said = hue.run("accept", "proposal", "--yes", "--out", "agreement")
    assert digits(isfahan.city.thumbprint) in said
    assert "isfahan gives hue: energy.import" in said
    assert said.count("compare fingerprints") == 1
    assert "sistercity agreement install agreement" in said
    said = isfahan.run("renew", "agreement", "--give", "waste.fill", "--out", "renewal")
    assert digits(hue.city.thumbprint) in said
    assert "isfahan gives hue: waste.fill" in hue.run("show", "renewal")


def test_nothing_is_signed_without_a_yes_and_no_file_is_overwritten(without_nodes, tmp_path):
    isfahan, hue = without_nodes
    isfahan.run("propose", hue.document_file, "--give", "energy.import", "--out", "proposal")
    with pytest.raises(AssertionError, match="does this city agree"):
        hue.run("accept", "proposal", "--out", "agreement")
    assert not (tmp_path / "agreement").exists()
    assert "exists" in hue.refuses("accept", "proposal", "--yes", "--out", "proposal", error=CommandError)


def test_what_is_signed_is_what_was_shown_whatever_becomes_of_the_file(without_nodes, tmp_path, monkeypatch):
    isfahan, hue = without_nodes
    isfahan.run("propose", hue.document_file, "--give", "energy.import", "--out", "proposal")
    isfahan.run("propose", hue.document_file, "--receive", "energy.import", "--out", "worse")

    def exchange(*_, **__) -> None:
        (tmp_path / "worse").replace(tmp_path / "proposal")

    monkeypatch.setattr("typer.confirm", exchange)
    hue.run("accept", "proposal", "--out", "agreement")
    assert "isfahan gives hue" in hue.run("show", "agreement")
    assert "hue gives isfahan" not in hue.run("show", "agreement")


def test_what_a_city_can_not_keep_is_not_signed(without_nodes):
    isfahan, hue = without_nodes
    nothing = ("propose", hue.document_file)
    assert "--give METRIC" in isfahan.refuses(*nothing, error=CommandError)
    assert isfahan.refuses(*nothing, "--give", "energy.unheard") == "unknown-metric"
    assert isfahan.refuses(*nothing, "--give", "energy.import", "--from", "2020-01-01") == "back-dated"
    own = ("propose", isfahan.document_file, "--give", "energy.import")
    assert isfahan.refuses(*own) == "malformed"  # with itself
    isfahan.run(*nothing, "--give", "energy.import", "--out", "proposal")
    assert isfahan.refuses("accept", "proposal", "--yes") == "one-signature"


def test_a_proposal_that_calls_this_city_by_the_other_ones_name_is_not_accepted(without_nodes, tmp_path):
    isfahan, hue = without_nodes
    false = tmp_path / "false.jws"
    # A document of Hue's key that calls the city otherwise: the proposal names Hue's identity by it.
    false.write_text(hue.issued(2, city="da-nang"))
    isfahan.run("propose", false, "--give", "energy.import", "--out", "proposal")
    assert hue.refuses("accept", "proposal", "--yes") == "swapped-parties"


@pytest.mark.services
def test_an_agreement_from_the_proposal_to_its_end(tmp_path, monkeypatch, database_url, second_database_url):
    isfahan = Office("isfahan", tmp_path, monkeypatch, database_url)
    hue = Office("hue", tmp_path, monkeypatch, second_database_url)
    both = ("--give", "energy.import", "--receive", "waste.fill", "--delay", 60)
    isfahan.run("propose", hue.document_file, *both, "--out", "proposal")
    assert isfahan.refuses("install", "proposal") == "one-signature"
    hue.run("accept", "proposal", "--yes", "--out", "agreement")
    for office, other in ((isfahan, hue), (hue, isfahan)):
        assert digits(other.city.thumbprint) in office.run("install", "agreement")
        assert "was installed already" in office.run("install", "agreement")
    with connect(database_url) as ours, connect(second_database_url) as theirs:
        [given], [received] = in_force(ours), in_force(theirs)
    assert given.metrics("given") == received.metrics("received") == ("energy.import",)
    assert given.metrics("received") == received.metrics("given") == ("waste.fill",)
    assert (given.partner, given.city) == (hue.city.thumbprint, "hue")

    hue.run("renew", "agreement", "--give", "waste.fill", "--give", "energy.solar", "--out", "proposal-2")
    isfahan.run("accept", "proposal-2", "--yes", "--out", "agreement-2")
    isfahan.run("install", "agreement-2")
    with connect(database_url) as ours:
        [renewed] = in_force(ours)
    assert renewed.metrics("received") == ("energy.solar", "waste.fill")
    assert "version 2" in isfahan.run("list")
    assert "energy.solar" in isfahan.run("show", renewed.id)

    isfahan.run("revoke", renewed.id, "--reason", "the project has ended")
    with connect(database_url) as ours:
        assert in_force(ours) == []
    assert isfahan.refuses("install", "agreement-2", error=InstallRefused) == "revoked"
    assert "revoked: the project has ended" in isfahan.run("list")
    assert "revoked before" in isfahan.refuses("revoke", renewed.id, "--reason", "again", error=CommandError)


@pytest.mark.services
def test_where_a_partner_is_asked_changes_on_command_and_in_private_networks_by_a_setting(
    tmp_path, monkeypatch, database_url
):
    isfahan = Office("isfahan", tmp_path, monkeypatch, database_url)
    hue = Office("hue", tmp_path, monkeypatch)
    hue.document_file.write_text(hue.issued(1, addresses=["https://10.1.2.3:8443"]))
    isfahan.run("propose", hue.document_file, "--receive", "energy.import", "--out", "proposal")
    hue.run("accept", "proposal", "--yes", "--out", "agreement")
    assert isfahan.refuses("install", "agreement") == "private-address"
    monkeypatch.setenv("SISTERCITY_PARTNER_PRIVATE_ADDRESSES", "true")
    isfahan.run("install", "agreement")
    monkeypatch.delenv("SISTERCITY_PARTNER_PRIVATE_ADDRESSES")
    moved = hue.issued(2, addresses=["https://elsewhere.example"])
    with connect(database_url) as connection:
        [held] = in_force(connection)
        save_identity(connection, hue.city.thumbprint, "hue", 2, moved, now_ms() + DAY)
        assert "asked at https://10.1.2.3:8443" in isfahan.run("addresses", held.id)
        assert in_force(connection) == [held]
        isfahan.run("addresses", held.id, "--allow")
        [known] = known_agreements(connection, held.id)
        assert known.agreement.addresses == ("https://elsewhere.example",)
        inside = hue.issued(3, addresses=["https://localhost"])
        save_identity(connection, hue.city.thumbprint, "hue", 3, inside, now_ms() + DAY)
        assert isfahan.refuses("addresses", held.id, "--allow") == "private-address"
