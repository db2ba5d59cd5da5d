from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from store.texts import Texts, joined, repeated

TEXTS = st.lists(st.text("ab\0đ\ud800", max_size=9) | st.text(max_size=40), max_size=12)


@given(st.lists(TEXTS, max_size=4), st.randoms())
def test_texts_are_what_they_were_in_any_order(parts: list[list[str]], random: Random) -> None:
    together = [text for part in parts for text in part]
    texts = joined([Texts.of(part) for part in parts])
    assert texts.strings() == together
    assert [bytes(row).rstrip(b"\0") for row in texts.padded(8)] == [
        text.encode("utf-8", "surrogatepass").rstrip(b"\0") for text in together
    ]
    order = random.sample(range(len(together)), len(together))
    taken = texts.take(np.array(order, np.int64))
    assert taken.strings() == taken.packed().strings() == [together[row] for row in order]
    assert len(taken.packed().data) == len(texts.data)


@given(TEXTS)
def test_equal_texts_have_equal_hashes_and_different_ones_do_not(texts: list[str]) -> None:
    hashes = Texts.of(texts).hashes().tolist()
    assert len(set(zip(texts, hashes, strict=True))) == len(set(texts)) == len(set(hashes))


@given(TEXTS, TEXTS)
def test_texts_are_the_same_where_they_are_equal(first: list[str], second: list[str]) -> None:
    count = min(len(first), len(second))
    pairs = list(zip(first[:count], [*second[: count // 2], *first[count // 2 : count]], strict=True))
    same = Texts.of([a for a, _ in pairs]).same(Texts.of([b for _, b in pairs]))
    assert same.tolist() == [a == b for a, b in pairs]


@pytest.mark.parametrize("hashes", ["own", "few", "one"])
@given(texts=st.lists(st.sampled_from(["", "a", "b", "ab", "ba", "đ", "c" * 30]), max_size=30))
def test_texts_are_told_apart_whatever_hashes_they_share(texts: list[str], hashes: str) -> None:
    columns = Texts.of(texts)
    by_hand: dict[str, NDArray[np.uint64]] = {
        "own": columns.hashes(),
        "few": np.array([len(text) for text in texts], np.uint64),
        "one": np.zeros(len(texts), np.uint64),
    }
    first, which = columns.told_apart(by_hand[hashes])
    assert [texts[row] for row in first[which].tolist()] == texts
    assert len(first) == len(set(texts))


@given(st.lists(st.integers(0, 9), max_size=20))
def test_keys_that_are_there_again_are_found(keys: list[int]) -> None:
    places = repeated(np.array(keys, np.uint64)).tolist()
    assert places == [place for place, key in enumerate(keys) if keys.count(key) > 1]
