"""`sistercity audit`: what is verified against what, and that the exported lines are those that were hashed."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from federation.access.audit import BadLine, end_of
from federation.publications.heads import sign_head
from node.cli import app
from node.settings import settings
from node.wiring import CommandError
from store.audit import AuditRow, all_audit_heads
from store.database import Connection, connect
from store.heads import StoredHead, save_head
from store.identities import save_own_identity
from store.moments import moment
from store.partner_facts import keep_audit_head
from tests.federation.access.test_audit import chain
from tests.federation.identity.cities import DAY, NOW, SigningCity

pytestmark = pytest.mark.services

CITY = SigningCity()


@pytest.fixture
def connection(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", database_url)
    settings.cache_clear()
    with connect(database_url) as found:
        yield found
    settings.cache_clear()


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*arguments: object) -> str:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    return str(refused.value)


def store(connection: Connection, rows: list[AuditRow]) -> None:
    for row in rows:
        connection.execute(
            "INSERT INTO audit VALUES (%s, %s, %s, %s)", (row.agreement, row.sequence, moment(row.at), row.line)
        )
    connection.execute(
        "INSERT INTO agreements SELECT %s, 1, 'us', 'them', 'hue', '', '', '{}', now(), now(), true, 1, 1, 1",
        (rows[0].agreement,),
    )


def sign(connection: Connection) -> None:
    """A head over the audit as it is now."""
    document = CITY.document()
    save_own_identity(connection, CITY.thumbprint, CITY.city, 1, document, NOW + DAY)
    audit = all_audit_heads(connection)
    log, hash_ = "00000000-0000-4000-8000-000000000000", sha256(audit).hexdigest()
    head = sign_head(CITY.publish, city=CITY.city, log=log, number=1, position=0, ends={}, audit=hash_, now_ms=NOW)
    save_head(connection, StoredHead(1, NOW, NOW + DAY, head, audit))


def test_the_nodes_chains_are_verified_against_its_signed_heads_and_what_partners_kept(connection, tmp_path):
    one, other = chain(3, "one"), chain(2, "other")
    for rows in (one, other):
        store(connection, rows)
    sign(connection)
    kept = tmp_path / "kept.txt"
    kept.write_text(f"one 2 {end_of(one[1]).hash}\n")
    said = run("verify", "--kept", kept).splitlines()
    for row in one[:2]:
        keep_audit_head(connection, "one", row.sequence, end_of(row).hash)
    assert run("kept").splitlines()[1] == kept.read_text().strip()
    assert said[0].startswith("one: 3 lines, each as it was written, 2 confirmed by others")
    assert said[1].startswith("other: 2 lines, each as it was written, 1 confirmed by others")
    connection.execute("DELETE FROM audit WHERE agreement = 'other' AND sequence = 2")
    connection.execute("UPDATE audit SET line = 'x' WHERE agreement = 'one' AND sequence = 2")
    assert refusal("verify").splitlines() == [
        "the audit of agreement one is wrong from line 2 on: it is no audit line",
        "the audit of agreement other is wrong from line 2 on: it is missing: our head 1 names line 2",
    ]


def test_a_node_that_has_given_nothing_says_so(connection):
    assert run("verify") == "there is no line: nobody was given anything\n"


def test_what_is_exported_is_verified_without_a_node(connection, tmp_path, monkeypatch):
    rows = chain(3, "one")
    store(connection, rows)
    store(connection, chain(1, "other"))
    file = tmp_path / "lines.jsonl"
    run("export", "one", "--out", file)
    assert file.read_bytes() == b"".join(row.line + b"\n" for row in rows)
    assert run("export").count("\n") == 4
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    settings.cache_clear()
    assert run("verify", file).startswith("one: 3 lines")
    file.write_bytes(rows[2].line + b"\n")
    before = end_of(rows[1])
    assert run("verify", file, "--after", f"{before.sequence} {before.hash}").startswith("one: 1 lines (2 before them")
    file.write_bytes(rows[0].line + b"\n" + rows[2].line + b"\n")
    assert "wrong from line 2 on: line 3 stands in its place" in refusal("verify", file)
    file.write_bytes(b"{}\n")
    with pytest.raises(BadLine, match="line 1 is no audit line"):
        run("verify", file)


def test_an_agreement_that_nobody_has_and_a_file_without_a_line_are_named(connection, tmp_path):
    store(connection, chain(3, "one"))
    out, empty = tmp_path / "lines.jsonl", tmp_path / "empty.jsonl"
    for of in ("", "other"):
        assert f"no agreement {of} is installed" in refusal("export", of, "--out", out)
    assert not out.exists()
    empty.touch()
    assert "empty.jsonl holds no line" in refusal("verify", empty)
    run("export", "one", "--out", out)
    assert "lines.jsonl exists" in refusal("export", "one", "--out", out)
