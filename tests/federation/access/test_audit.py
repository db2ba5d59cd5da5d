"""An audit chain: what is changed in it, taken from it or put into it is found; the first wrong line is named."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.access.audit import BrokenAudit, Given, audit_row, end_of, follow_audit
from federation.access.verifying import BadWitness, Witness, signed_witnesses, verify_audit, witnesses
from federation.identity.document import open_identity
from federation.publications.heads import sign_head
from federation.strict_json import loads
from federation.wire import rfc3339
from store.audit import AuditHead, AuditRow
from store.heads import StoredHead
from tests.federation.identity.cities import NOW, SigningCity
from tests.vectors.reading import check, read

AGREEMENT = "an-agreement"


def chain(count: int, agreement: str = AGREEMENT) -> list[AuditRow]:
    rows, head = [], None
    for number in range(count):
        answer = Given(NOW + number, f"r{number}", "/v1/bodies", "energy.import", 1, 2, 200, "0" * 64, number)
        rows.append(audit_row(answer, agreement, head))
        head = end_of(rows[-1])
    return rows


def first_wrong(rows: list[AuditRow], *vouched: Witness) -> int | None:
    (found,) = verify_audit(rows, vouched)
    return None if found.broken is None else found.broken.sequence


def seen(row: AuditRow, who: str = "a partner") -> Witness:
    return Witness(row.agreement, end_of(row), who)


def changed(row: AuditRow) -> AuditRow:
    """The same answer, said to have held less."""
    return row._replace(line=row.line.replace(b'"last":2', b'"last":1'))


@pytest.mark.parametrize("vector", read("audit"), ids=str)
def test_vectors(vector):
    end = vector.given["end"]
    head = None if end is None else AuditHead(end["sequence"], end["hash"])
    check(vector, lambda: follow_audit(head, vector.given["agreement"], vector.content), BrokenAudit)


def test_a_line_says_what_was_given_and_names_the_line_before():
    first, second = chain(2)
    assert loads(second.line) == {
        "format": 1,
        "agreement": AGREEMENT,
        "sequence": 2,
        "at": rfc3339(NOW + 1),
        "before": sha256(first.line).hexdigest(),
        "request": "r1",
        "path": "/v1/bodies",
        "metric": "energy.import",
        "first": 1,
        "last": 2,
        "status": 200,
        "page": "0" * 64,
        "bytes": 1,
    }


@given(st.integers(2, 6), st.data())
def test_the_first_line_that_was_changed_taken_away_moved_or_added_is_named(count, data):
    rows = chain(count)
    kept = seen(rows[-1])
    assert first_wrong(rows, kept) is None
    place = data.draw(st.integers(0, count - 1))
    tampered = [*rows[:place], changed(rows[place]), *rows[place + 1 :]]
    assert first_wrong(tampered, kept) == place + 1 if place < count - 1 else first_wrong(tampered, kept)
    assert first_wrong([*rows[:place], *rows[place + 1 :]], kept) == place + 1
    other = data.draw(st.integers(0, count - 1).filter(lambda other: other != place))
    swapped = list(rows)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    assert first_wrong(swapped, kept) == min(place, other) + 1
    assert first_wrong([*rows[: place + 1], rows[place], *rows[place + 1 :]], kept) == place + 2


def test_a_chain_that_ends_early_or_was_written_anew_is_found_by_what_others_kept():
    rows, anew = chain(5), []
    assert first_wrong(rows[:3]) is None
    assert first_wrong(rows[:3], seen(rows[3])) == 4
    head = end_of(rows[1])
    for row in rows[2:]:
        answer = Given(row.at, "other", "/v1/head", None, None, None, 200, "0" * 64, 0)
        anew.append(audit_row(answer, AGREEMENT, head))
        head = end_of(anew[-1])
    rewritten = [*rows[:2], *anew]
    assert first_wrong(rewritten) is None
    assert first_wrong(rewritten, seen(rows[0]), seen(rows[4])) == 2
    assert first_wrong(rewritten, seen(rows[1]), seen(rows[2])) == 3


def test_what_is_stored_beside_a_line_must_be_what_it_says():
    rows = chain(3)
    for lie in (rows[1]._replace(sequence=7), rows[1]._replace(at=NOW)):
        assert first_wrong([rows[0], lie, rows[2]]) == 2
    (found,) = verify_audit([rows[0], chain(2, "another")[1]._replace(agreement=AGREEMENT)])
    assert (found.broken.reason, found.broken.sequence) == ("other-agreement", 2)


def test_a_chain_that_is_gone_is_missing_from_its_first_line_on_and_others_are_verified_all_the_same():
    rows, others = chain(2), chain(2, "another")
    found = list(verify_audit([changed(others[0]), others[1]], [seen(rows[1])]))
    assert [(each.agreement, each.broken.sequence) for each in found] == [("another", 1), (AGREEMENT, 1)]


CITY = SigningCity()
IDENTITY = open_identity(CITY.document(), pinned=None, now_ms=NOW)


def signed(audit: bytes | None, number: int = 1, key=CITY.publish) -> StoredHead:
    hash_ = None if audit is None else sha256(audit).hexdigest()
    log = "00000000-0000-4000-8000-000000000000"
    document = sign_head(key, city=CITY.city, log=log, number=number, position=0, ends={}, audit=hash_, now_ms=NOW)
    return StoredHead(number, NOW, NOW + 1, document, audit)


def listed(*rows: AuditRow) -> bytes:
    return "".join(f"{row.agreement} {row.sequence} {end_of(row).hash}\n" for row in rows).encode()


def test_our_signed_heads_vouch_for_the_chains_that_they_were_signed_over():
    rows = chain(3)
    heads = [signed(None, 1), signed(listed(rows[0]), 2), signed(listed(rows[0]), 3), signed(listed(rows[2]), 4)]
    vouched = list(signed_witnesses(heads, IDENTITY))
    assert [(each.head.sequence, each.who) for each in vouched] == [(1, "our head 2"), (3, "our head 4")]
    assert first_wrong(rows, *vouched) is None
    assert first_wrong(rows[:2], *vouched) == 3
    assert first_wrong([*rows[:2], changed(rows[2])], *vouched) == 2


def test_what_is_stored_beside_a_signed_head_vouches_for_nothing_if_it_was_changed():
    rows = chain(2)
    head = signed(listed(rows[1]))
    for lie in (listed(rows[0]), None):
        with pytest.raises(BadWitness, match="our head 1"):
            list(signed_witnesses([replace(head, audit=lie)], IDENTITY))
    assert list(signed_witnesses([signed(listed(rows[1]), key=CITY.access)], IDENTITY)) == []


def test_lines_that_vouch_for_nothing_are_refused():
    for content in ("a 1", f"a 1 {'x' * 64}", f"a -1 {'0' * 64}", "\x1b"):
        with pytest.raises(BadWitness, match=r"kept\.txt"):
            list(witnesses(content, "kept.txt"))
