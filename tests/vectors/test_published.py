"""Vectors of entries, bodies and heads: each good one is accepted, each bad one refused."""

import json

import pytest

from federation.identity.document import open_identity
from federation.publications.chain import BrokenChain, ChainEnd, check_body, follow
from federation.publications.entries import BadEntry, entry_of
from federation.publications.heads import BadHead, SignedHead, contradiction, open_head
from federation.wire import instant
from tests.vectors.reading import Read, read, words_for

_CHECKED_BY_THE_PULLER = {"malformed", "not-in-catalogue"}
"""What is wrong with a body's cells; `federation.wire` and the catalogue tell."""


def follows(vector: Read) -> None:
    entry, end = entry_of(vector.content), vector.given["end"]
    if entry.header.metric != vector.given["metric"]:
        raise BrokenChain("other-metric", "an entry of another metric")
    known = None if end is None else ChainEnd(end["sequence"], end["hash"])
    follow(known, entry, vector.content, city=vector.given["city"])


@pytest.mark.parametrize("vector", read("entry"), ids=str)
def test_entries(vector) -> None:
    if vector.good:
        follows(vector)
        return
    with pytest.raises((BadEntry, BrokenChain)):
        follows(vector)


@pytest.mark.parametrize("vector", read("body"), ids=str)
def test_bodies(vector) -> None:
    entry = entry_of(vector.given["entry"].encode())
    if vector.good or vector.why in _CHECKED_BY_THE_PULLER:
        try:
            assert check_body(entry.header, entry.body, vector.content) == json.loads(vector.content)
        except BrokenChain:
            assert not vector.good
        return
    with pytest.raises(BrokenChain) as raised:
        check_body(entry.header, entry.body, vector.content)
    assert raised.value.reason in words_for(vector)


def opened(vector: Read) -> SignedHead:
    now = instant(vector.given["now"])
    identity = open_identity(vector.given["identity"], pinned=None, now_ms=now)
    head = open_head(vector.text, identity, now)
    if (text := vector.given.get("known")) is not None:
        known = open_head(text, identity, now)
        if words := contradiction(known, head):
            raise BadHead("contradiction", words)
        if head.number < known.number:
            raise BadHead("rolled-back", "older than the one that is known")
    return head


@pytest.mark.parametrize("vector", read("head"), ids=str)
def test_heads(vector) -> None:
    if vector.good:
        assert opened(vector).document == vector.text
        return
    with pytest.raises(BadHead) as raised:
        opened(vector)
    assert raised.value.reason in words_for(vector)
