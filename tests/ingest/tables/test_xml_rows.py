"""Records of XML: what belongs to which, and documents that are none, or hostile."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile
from ingest.tables import xml_rows as module
from ingest.tables.profile import XmlPart
from ingest.tables.profile_file import ProfileError, parse_profile
from ingest.tables.xml_rows import xml_rows
from tests.ingest.files.imports import peak_bytes

PART = XmlPart(("site", "lane", "flow"))
COLUMNS = ("@id", "time", "lane.@number", "lane.flow.rate", "lane.flow.fault")


def rows(path: Path, text: str | bytes, optional: frozenset[str] = frozenset({"lane.flow.fault"})) -> list[list[str]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [list(row) for piece in xml_rows(path, PART, COLUMNS, optional) for row in piece.fields]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.xml"


Site = tuple[str, bool, list[tuple[str, str | None, bool]]]


def written(sites: list[Site], prefix: str) -> str:
    def element(name: str, content: str, attributes: str = "") -> str:
        return f"<{prefix}{name}{attributes}>{content}</{prefix}{name}>"

    texts = []
    for number, (time, first, lanes) in enumerate(sites):
        content = []
        for lane, rate, faulty in lanes:
            flow = "" if rate is None else element("rate", f" {rate} ")
            flow += element("fault", "true") if faulty else ""
            content.append(element("lane", element("flow", flow) + element("speed", "9"), f' number="{lane}"'))
        content.insert(0 if first else len(content), element("time", time))
        texts.append(element("site", "".join(content), f' id="{number}"'))
    namespace = f' xmlns:{prefix.rstrip(":")}="urn:of-it"' if prefix else ""
    return f"<{prefix}all{namespace}>{''.join(texts)}</{prefix}all>"


@given(
    st.lists(
        st.tuples(
            st.text("0123456789:-", max_size=5),
            st.booleans(),
            st.lists(
                st.tuples(st.text("ab", max_size=2), st.none() | st.text("0123456789.", min_size=1), st.booleans())
            ),
        )
    ),
    st.sampled_from(["", "x:"]),
)
def test_each_record_has_its_own_values_and_those_around_it(tmp_path_factory, sites: list[Site], prefix: str) -> None:
    path = tmp_path_factory.mktemp("xml") / "records.xml"
    wanted = [
        [str(number), time, lane, rate or "", "true" if faulty else ""]
        for number, (time, _, lanes) in enumerate(sites)
        for lane, rate, faulty in lanes
    ]
    if sites:
        every = frozenset(COLUMNS)
        assert rows(path, written(sites, prefix), every) == wanted


def test_what_has_no_outer_element_or_none_of_a_column_is_said(path: Path) -> None:
    with pytest.raises(NotSuchFile, match="there is no element site in it"):
        rows(path, "<html><body>log in</body></html>")
    with pytest.raises(NotSuchFile, match=r"none of its 1 records has time, lane\.flow\.rate"):
        rows(path, '<site id="1"><lane number="1"><flow/></lane></site>')
    assert rows(path, '<site id="1"/>') == []


LAUGHS = '<!DOCTYPE a [<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "billion laughs": ((LAUGHS + "]><site>&l9;</site>").encode, "document type"),
    "external entity": (
        lambda: b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><site id="1">&f;</site>',
        "document type",
    ),
    "external document type": (lambda: b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><site/>', "document type"),
    "a million nested elements": (lambda: b"<site>" * 1_000_000, "more than 64 deep"),
    "very many attributes": (
        lambda: b"<site " + b" ".join(b'a%d=""' % n for n in range(300_000)) + b"/>",
        "a tag or comment has more than",
    ),
    "a long text": (lambda: b"<site><time>" + b"1" * 5_000_000, "a text has more than"),
    "a comment without end": (lambda: b"<site><!-- " + b"x" * 5_000_000, "a tag or comment has more than"),
    "records without end of what is around them": (
        lambda: b'<site id="1">' + b'<lane number="1"><flow/></lane>' * 4_000,
        "more records than are held",
    ),
    "another character set": (lambda: b'<?xml version="1.0" encoding="utf-7"?><site/>', "charset utf-7"),
    "not its character set": (
        lambda: b'<?xml version="1.0" encoding="utf-8"?><site id="\xff\xfe"/>',
        "not well-formed",
    ),
    "cut": (lambda: b'<site id="1"><lane number="1">', "no element found"),
    "JSON": (lambda: b"[1]", "syntax error"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_documents_are_refused_in_words_and_bounded_memory(
    kind: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 1 << 18)
    made, words = HOSTILE[kind]
    content = made()

    def read() -> None:
        with pytest.raises(NotSuchFile, match=words):
            rows(path, content)

    assert peak_bytes(read) < 8 << 20


def test_a_large_document_is_read_in_flat_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.tables.xml_rows._ROWS", 20)
    site = b'<site id="1"><lane number="1"><flow><rate>60</rate></flow></lane><time>1</time></site>'

    def peak(sites: int) -> int:
        path.write_bytes(b"<all>" + site * sites + b"</all>")
        return peak_bytes(lambda: [None for _ in xml_rows(path, PART, COLUMNS, frozenset(COLUMNS))])

    assert peak(1_600) < 1.2 * peak(800)


PROFILE = """
title = "Flow"
metric = "traffic.counts"
[xml]
records = "site.lane.flow"
[source]
text = "{@id}/{lane.@number}"
[time]
columns = "time"
formats = "%Y-%m-%dT%H:%M:%S%z"
zone = "text"
[value]
column = "lane.flow.rate"
unit = "vehicles/h"
[interval]
seconds = 60
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[xml]", "[json]\n[xml]", "neither"),
        ("[xml]", "[file]\n[xml]", "neither"),
        ('"site.lane.flow"', '"site..flow"', "names of elements"),
        ('"site.lane.flow"', '"{urn}site"', "names of elements"),
        ('"vehicles/h"', '"kWh"', "no unit of traffic.counts; it may be vehicles, vehicles/h"),
        ('column = "lane.flow.rate"', 'begins_with = "rate"', "needs column, the whole name"),
        ("records =", "record =", "unknown key record"),
    ],
)
def test_what_a_profile_cannot_say_of_xml_is_named(old: str, new: str, words: str) -> None:
    parse_profile(PROFILE, "flow", "flow.toml")
    assert old in PROFILE
    with pytest.raises(ProfileError, match=words):
        parse_profile(PROFILE.replace(old, new), "flow", "flow.toml")
