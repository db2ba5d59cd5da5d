"""`sistercity identity`: what each command leaves on the disk of a machine without a node, and what a node takes in."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from federation.identity.document import BadIdentity, Identity, open_identity
from federation.identity.fingerprint import digits
from federation.identity.keys import KeyFileError, old_file, read_key
from federation.jose import thumbprint
from node.cli import app
from node.clock import now_ms
from node.identity_files import document_path, identity_key_path, key_path, online_keys, read_document, revocation_path
from node.settings import settings
from node.wiring import CommandError
from store.database import connect
from store.identities import identity_of, own_identity, published_identity

DAY = 86_400_000


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A machine that has no node, no city file and no identity yet."""
    for name in ("SISTERCITY_CITY", "SISTERCITY_KAFKA", "SISTERCITY_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    move_to(monkeypatch, tmp_path / "home")
    yield
    settings.cache_clear()


def move_to(monkeypatch, folder: Path) -> None:
    monkeypatch.setenv("SISTERCITY_HOME", str(folder))
    settings.cache_clear()


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["identity", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def create(city: str = "town") -> Identity:
    address = f"https://exchange.{city}.example"
    run("create", "--city", city, "--name", city.title(), "--contact", f"it@{city}.example", "--address", address)
    return read_document()


def signing(use) -> str | None:
    """The kid of the key that this machine would sign with now."""
    key = read_document().signing_key(use, online_keys(use), now_ms())
    return None if key is None else thumbprint(key)


def modes() -> dict[str, int]:
    folder = document_path().parent
    return {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


def test_an_identity_is_made_without_a_node_and_only_its_owner_can_read_the_keys():
    made = create()
    private = {"identity.key", "publish.key", "access.key", "revocation.jws"}
    assert modes() == dict.fromkeys(private, 0o600) | {"identity": 0o700, "identity.jws": 0o644}
    assert thumbprint(read_key(identity_key_path(), "identity")) == made.thumbprint
    assert {key.use: key.kid for key in made.keys} == {"publish": signing("publish"), "access": signing("access")}
    assert made.expires_at - made.issued_at == 90 * DAY
    shown = run("show")
    assert digits(made.thumbprint) in shown
    assert "https://exchange.town.example" in shown
    assert run("export").strip() == made.document
    with pytest.raises(CommandError, match=r"there is an identity .* renew"):
        create()


def test_a_city_that_is_no_city_to_others_is_refused_and_nothing_is_written():
    with pytest.raises(BadIdentity):
        run("create", "--city", "town", "--name", "To\u202ewn", "--contact", "x")
    assert not document_path().exists()


def test_a_renewal_changes_what_is_said_and_keeps_the_keys():
    made = create()
    run("renew", "--contact", "help@town.example")
    renewed = read_document()
    assert (renewed.version, renewed.contact, renewed.addresses) == (2, "help@town.example", made.addresses)
    assert renewed.keys == made.keys


def test_a_rotated_key_signs_after_the_old_ones_overlap_and_both_are_at_hand():
    made = create()
    run("rotate", "access", "--overlap-days", "3")
    rotated = read_document()
    old, new = [key for key in rotated.keys if key.use == "access"]
    assert (signing("access"), old.kid) == (made.keys[1].kid, made.keys[1].kid)
    assert old.not_after == new.not_before + 3 * DAY
    later = rotated.signing_key("access", online_keys("access"), old.not_after)
    assert thumbprint(later) == new.kid == thumbprint(read_key(key_path("access"), "access"))
    assert signing("publish") == made.keys[0].kid
    run("rotate", "publish", "--overlap-days", "0")
    assert signing("publish") != made.keys[0].kid


def test_a_rotation_that_was_interrupted_is_finished_by_the_next_one():
    create()
    run("rotate", "access")
    new = key_path("access").rename(key_path("access").with_name("access.key.new"))
    old_file(key_path("access")).rename(key_path("access"))
    first, second = (key.kid for key in read_document().keys if key.use == "access")
    assert new.exists()
    run("rotate", "access")
    assert thumbprint(read_key(old_file(key_path("access")), "access")) == second
    assert first != second
    new.write_text("a key that no document lists, of a command that failed")
    new.chmod(0o600)
    with pytest.raises(KeyFileError):
        run("rotate", "access")


def test_a_revoked_key_signs_nothing_and_another_takes_its_place():
    made = create()
    run("revoke", "publish", "--reason", "the disk was stolen")
    after = read_document()
    [revoked] = after.revoked
    assert (revoked.kid, revoked.reason) == (made.keys[0].kid, "the disk was stolen")
    assert signing("publish") not in (None, made.keys[0].kid)
    assert after.key_ever("publish", made.keys[0].kid) is None
    run("rotate", "access")
    run("revoke", "access", "--kid", made.keys[1].kid, "--reason", "an old backup was lost")
    assert signing("access") not in (None, made.keys[1].kid)
    assert len([key for key in read_document().keys if key.use == "access"]) == 2


def test_without_the_identity_key_or_with_another_nothing_is_signed(tmp_path, monkeypatch):
    create()
    usb = identity_key_path().rename(tmp_path / "identity.key")
    for words in (
        ["renew"],
        ["rotate", "access"],
        ["revoke", "access", "--reason", "x"],
        ["revoke", "identity", "--reason", "x"],
    ):
        with pytest.raises(CommandError, match="--identity-key"):
            run(*words)
    run("renew", "--identity-key", str(usb))
    with pytest.raises(KeyFileError, match="one for identity is needed"):
        run("renew", "--identity-key", str(key_path("publish")))
    move_to(monkeypatch, tmp_path / "other")
    create("other")
    with pytest.raises(BadIdentity, match="not the one"):
        run("renew", "--identity-key", str(usb))


def test_the_statement_for_the_safe_ends_the_identity_without_its_key():
    made = create()
    identity_key_path().unlink()
    assert f"identity     {made.thumbprint}" in run("show", str(revocation_path()))


@pytest.mark.services
def test_a_node_takes_in_newer_documents_and_revocations_and_no_other_identity(database_url, monkeypatch, tmp_path):
    own, partner = tmp_path / "own", tmp_path / "partner"
    move_to(monkeypatch, partner)
    theirs = create("partner")
    run("export", str(tmp_path / "partner-1.jws"))
    run("renew")
    run("export", str(tmp_path / "partner-2.jws"))
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", database_url)
    move_to(monkeypatch, own)
    ours = create("town")
    run("import", str(document_path()), "--own")
    run("import", str(tmp_path / "partner-2.jws"))
    with pytest.raises(BadIdentity, match="version 1"):
        run("import", str(tmp_path / "partner-1.jws"))
    with pytest.raises(BadIdentity, match="--replace"):
        run("import", str(tmp_path / "partner-2.jws"), "--own")
    with pytest.raises(BadIdentity, match="another identity key"):
        run("import", str(partner / "identity" / "revocation.jws"), "--own")
    run("rotate", "publish")
    run("import", str(document_path()))
    with connect(database_url) as connection:
        assert open_identity(own_identity(connection), pinned=ours.thumbprint, now_ms=now_ms()).version == 2
        assert open_identity(identity_of(connection, theirs.thumbprint), pinned=None, now_ms=now_ms()).version == 2
        assert "revoked" in run("import", str(partner / "identity" / "revocation.jws"))
        with pytest.raises(BadIdentity, match="has revoked the identity"):
            run("import", str(tmp_path / "partner-2.jws"))
        run("import", str(revocation_path()), "--own")
        assert published_identity(connection) == revocation_path().read_text().strip()
        with pytest.raises(BadIdentity, match="has revoked the identity"):
            run("import", str(document_path()), "--own")
        document_path().unlink()
        for use in ("publish", "access"):
            key_path(use).unlink()
        identity_key_path().unlink()
        new = create("town")
        run("import", str(document_path()), "--own", "--replace")
        assert own_identity(connection) == published_identity(connection) == new.document
