"""What was revoked stays revoked, whatever backup the database is restored from."""

from pathlib import Path

import pytest

from federation import jose
from federation.agreements.revocations import RevocationsFault, agreement_line, remember, remembered
from federation.identity.document import RevokedKey, open_identity, sign_revocation
from node.clock import now_ms
from node.commands.agreement import revoke
from node.commands.identity import import_
from node.commands.migrate import migrate
from node.commands.publish import publish
from node.commands.serve_partners import serve_partners
from node.settings import settings
from node.wiring import CommandError, revocations_path
from store import agreements
from store.agreements import known_agreements
from store.database import connect
from store.identities import identity_of, revocation_of, save_identity, save_own_identity
from tests.federation.identity.cities import DAY, SigningCity
from tests.federation.restoring import backup
from tests.federation.talking import US, TalkingCity, agree, agreed

HUE, LUND = TalkingCity("hue"), SigningCity("lund")


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("SISTERCITY_HOME", str(tmp_path))
    monkeypatch.setenv("SISTERCITY_CITY", US.city)
    monkeypatch.setenv("SISTERCITY_METRICS_PORT", "")
    yield
    settings.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", url)
    settings.cache_clear()


def issued(city: SigningCity, version: int, *revoked: str) -> str:
    gone = [RevokedKey(kid, now_ms(), "lost") for kid in revoked]
    return city.document(version, issued_at=now_ms(), expires_at=now_ms() + DAY, revoked=gone)


@pytest.mark.services
def test_what_was_revoked_after_a_backup_is_revoked_again_by_whatever_starts_on_it(
    server_url, database_url, monkeypatch, tmp_path, capsys
) -> None:
    agreement = agreed(HUE, "https://hue.example/", id="H" * 22)
    agree(database_url, agreement)
    with connect(database_url) as connection:
        save_own_identity(connection, US.thumbprint, US.city, 1, issued(US, 1), now_ms() + DAY)
        save_identity(connection, LUND.thumbprint, LUND.city, 1, issued(LUND, 1), now_ms() + DAY)
    with backup(server_url, database_url) as restored, backup(server_url, database_url) as other:
        use(monkeypatch, database_url)
        revoke(agreement.id, reason="they have stopped")
        document, ends = tmp_path / "2.jws", tmp_path / "end.jws"
        document.write_text(issued(US, 2, jose.thumbprint(US.publish)))
        import_(document, own=True)
        ends.write_text(sign_revocation(LUND.identity, city="lund", revoked_at=now_ms(), reason="burgled"))
        import_(ends)
        kept = revocations_path().read_bytes()
        use(monkeypatch, restored)
        with pytest.raises(CommandError, match="is in force in this database, and was revoked"):
            serve_partners(port=0)
        migrate(wait=0)
        assert f"agreement {agreement.id} is revoked again: they have stopped" in capsys.readouterr().out
        check(restored, agreement.id)
        use(monkeypatch, other)
        publish(once=True)
        assert f"agreement {agreement.id} is revoked again" in capsys.readouterr().err
        check(other, agreement.id)
        assert revocations_path().read_bytes() == kept


def check(url: str, agreement: str) -> None:
    """Everything that was revoked is, in this database."""
    with connect(url) as connection:
        assert [each.reason for each in known_agreements(connection, agreement)] == ["they have stopped"]
        own = identity_of(connection, US.thumbprint)
        assert own is not None
        assert open_identity(own, pinned=None, now_ms=None).is_revoked(jose.thumbprint(US.publish))
        assert revocation_of(connection, LUND.thumbprint) is not None


@pytest.mark.services
def test_what_an_earlier_version_has_revoked_is_added_when_the_publisher_starts(database_url, monkeypatch) -> None:
    with connect(database_url) as connection:
        agreements.revoke(connection, "E" * 22, "before there was a file")
    use(monkeypatch, database_url)
    for _ in range(2):
        publish(once=True)
    assert remembered(revocations_path()) == [agreement_line("E" * 22, "before there was a file")]


@pytest.mark.services
@pytest.mark.parametrize("typed", ["", "hue", "H" * 21])
def test_what_is_no_id_of_an_agreement_is_refused_and_revokes_nothing(database_url, monkeypatch, typed) -> None:
    use(monkeypatch, database_url)
    with pytest.raises(CommandError, match="is no id of an agreement"):
        revoke(typed, reason="they have stopped")
    with connect(database_url) as connection:
        assert agreements.revocations(connection) == []
    assert remembered(revocations_path()) == []


@pytest.mark.services
def test_the_publisher_starts_although_an_earlier_version_revoked_an_empty_id(database_url, monkeypatch) -> None:
    with connect(database_url) as connection:
        agreements.revoke(connection, "", "a variable was empty")
    use(monkeypatch, database_url)
    for _ in range(2):
        publish(once=True)
    assert remembered(revocations_path()) == [agreement_line("", "a variable was empty")]


def test_a_line_that_was_torn_is_cut_off_and_one_that_is_no_revocation_is_named(tmp_path) -> None:
    path = Path(tmp_path / "revocations.jsonl")
    assert remembered(path) == []
    assert remember(path, [agreement_line("A", "é")]) == 1
    with path.open("ab") as file:
        file.write(b'{"agreement": "B", "rea')
    assert remembered(path) == [agreement_line("A", "é")]
    assert remember(path, [agreement_line("A", "again"), agreement_line("B", "torn")]) == 1
    assert remembered(path) == [agreement_line("A", "é"), agreement_line("B", "torn")]
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(RevocationsFault, match="damaged in line 3"):
        remembered(path)
    with pytest.raises(RevocationsFault, match="can't be written"):
        remember(path / "below", [])
