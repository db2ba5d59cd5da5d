"""What is stored of a city verifies as long as nothing of it was changed, left out, or told otherwise to another."""

from dataclasses import replace

import pytest

from federation import jose
from federation.identity.document import RevokedKey, open_identity
from federation.publications.chain import BrokenChain, ChainEnd
from federation.publications.entries import digest
from federation.publications.heads import BadHead
from federation.publications.verifying import VerifiedEntries, verified_heads, verify_chains
from store.verification import StoredEntry
from tests.federation.identity.cities import NOW, SigningCity
from tests.federation.published import CATALOGUE, CELLS, METRIC, PublishedCity

ISFAHAN, HUE = SigningCity("isfahan"), SigningCity("hue")
KNOWN = open_identity(ISFAHAN.document(), pinned=None, now_ms=None)


def a_city(keys: SigningCity = ISFAHAN) -> tuple[PublishedCity, list[str]]:
    """A city that has published four hours, withdrawn the second, and signed three heads."""
    city = PublishedCity(keys)
    documents = []
    for hour in range(4):
        city.publish(hour)
        if hour % 2:
            documents.append(city.head(hour))
    city.publish(1, "withdrawal")
    city.rows[1] = replace(city.rows[1], body=None)
    return city, [*documents, city.head(9)]


def verified(rows: list[StoredEntry], documents: list[str], *, whole: bool = True) -> list[VerifiedEntries]:
    heads, _ = verified_heads(documents, KNOWN)
    return verify_chains("isfahan", heads, rows, {CATALOGUE}, whole=whole)


def test_what_was_published_verifies_with_what_was_withdrawn_and_lost() -> None:
    city, documents = a_city()
    whole = VerifiedEntries(METRIC, entries=5, bodies=4, erased=1, last=5, signed=5)
    assert verified(city.rows, documents) == [whole]
    city.rows[3] = StoredEntry(city.rows[3].line, None, lost=True)
    assert verified(city.rows, documents) == [replace(whole, bodies=3, absent=1)]
    assert verified(city.rows, documents[:1]) == [replace(whole, bodies=3, absent=1, signed=2)]
    city.publish(9, "skip", sequence=900)
    assert verified(city.rows, [*documents, city.head(10)])[0].signed == 900


def truncated(rows: list[StoredEntry]) -> None:
    rows.pop()


def without_one(rows: list[StoredEntry]) -> None:
    rows.pop(2)


def swapped(rows: list[StoredEntry]) -> None:
    rows[2], rows[3] = rows[3], rows[2]


def rewritten(rows: list[StoredEntry]) -> None:
    """The whole chain with another value in its first window, and every hash made anew."""
    city = PublishedCity(ISFAHAN)
    for hour in range(4):
        city.publish(hour, cells=CELLS[: 1 if hour == 0 else 2])
    city.publish(1, "withdrawal")
    rows[:] = city.rows
    rows[1] = replace(rows[1], body=None)


def another_citys(rows: list[StoredEntry]) -> None:
    rows[0] = PublishedCity(HUE).publish(0)


def changed(rows: list[StoredEntry]) -> None:
    rows[2] = replace(rows[2], line=rows[2].line.replace(b'"kind":', b'"kind" :'))


def no_entry(rows: list[StoredEntry]) -> None:
    rows[2] = replace(rows[2], line=b"{}")


def another_body(rows: list[StoredEntry]) -> None:
    rows[2] = replace(rows[2], body=rows[2].body.replace(b"1000", b"9000"))


def body_of_another_entry(rows: list[StoredEntry]) -> None:
    rows[2] = replace(rows[2], body=rows[3].body)


def no_body(rows: list[StoredEntry]) -> None:
    rows[2] = replace(rows[2], body=None)


def not_erased(rows: list[StoredEntry]) -> None:
    city = PublishedCity(ISFAHAN)
    rows[1] = [city.publish(hour) for hour in range(2)][1]


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (truncated, "truncated"),
        (without_one, "gap"),
        (swapped, "gap"),
        (rewritten, "other-history"),
        (another_citys, "other-city"),
        (changed, "other-history"),
        (no_entry, "malformed"),
        (another_body, "other-hash"),
        (body_of_another_entry, "other-hash"),
        (no_body, "no-body"),
        (not_erased, "not-erased"),
    ],
)
def test_what_was_changed_afterwards_is_noticed(tamper, reason) -> None:
    city, documents = a_city()
    tamper(city.rows)
    with pytest.raises(BrokenChain) as raised:
        verified(city.rows, documents)
    assert raised.value.reason == reason


def test_a_last_entry_that_is_changed_is_noticed_by_the_head_alone() -> None:
    city, documents = a_city()
    changed_last = replace(city.rows[-1], line=city.rows[-1].line.replace(b'"kind":', b'"kind" :'))
    with pytest.raises(BrokenChain, match="is not the one that head 9 of isfahan names"):
        verified([*city.rows[:-1], changed_last], documents)


def test_a_body_whose_hash_is_right_but_that_says_it_is_of_another_entry_is_noticed() -> None:
    city = PublishedCity(ISFAHAN)
    first = city.publish(0)
    lying = PublishedCity(ISFAHAN)
    line = first.line.replace(b'"revision":0,"kind":"publication"', b'"revision":1,"kind":"correction"')
    lying.end = ChainEnd(1, digest(line))
    with pytest.raises(BrokenChain) as raised:
        verified([StoredEntry(line, first.body)], [lying.head(1)])
    assert raised.value.reason == "other-entry"


def test_of_a_partner_what_was_not_given_is_no_contradiction() -> None:
    city, documents = a_city()
    rows = [StoredEntry(row.line, None, lost=True) for row in city.rows[:3]]
    assert verified(rows, documents, whole=False) == [VerifiedEntries(METRIC, entries=3, absent=3, last=3, signed=3)]
    with pytest.raises(BrokenChain, match="and the chain ends with 3"):
        verified(rows, documents)


def test_two_stories_are_found_among_heads_in_any_order() -> None:
    city, documents = a_city()
    other = city.head(9, {METRIC: ChainEnd(5, digest(b"another"))})
    later = city.head(10, {METRIC: ChainEnd(5, digest(b"another"))})
    back = city.head(11, {METRIC: ChainEnd(4, digest(city.rows[3].line))})
    for extra, words in ((other, "two heads of number 9"), (later, "two entries 5"), (back, "goes back")):
        with pytest.raises(BrokenChain, match=words):
            verified(city.rows, [extra, *documents])


def test_heads_of_revoked_keys_count_no_more_and_forged_ones_are_refused() -> None:
    city, documents = a_city()
    revoked = [RevokedKey(jose.thumbprint(ISFAHAN.publish), NOW, "lost")]
    identity = open_identity(ISFAHAN.document(revoked=revoked), pinned=None, now_ms=None)
    assert verified_heads(documents, identity) == ([], 3)
    assert verify_chains("isfahan", [], city.rows, {}, whole=True)[0].signed == 0
    with pytest.raises(BadHead):
        verified_heads([documents[0][:-9] + "AAAAAAAAA"], KNOWN)
