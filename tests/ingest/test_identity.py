import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.identity import normal, normals, skeleton, skeletons

PERSIAN = "\u0639\u0644\u06cc \u06a9\u0631\u06cc\u0645\u06cc \u06f1\u06f2"
"""Yeh, kaf and digits of Persian."""

SAME = [
    ("Nguyễn Văn A", unicodedata.normalize("NFD", "Nguyễn Văn A")),
    ("Nguyễn Văn A", "Nguyê\u0303n Văn A"),  # what Windows-1258 becomes
    ("Nguyễn Văn A", " Nguyễn Văn A\u00a0"),
    ("C-1", "C-1\t"),
    ("C-1", "\u3000C-1 "),
    (PERSIAN, "\u0639\u0644\u064a \u0643\u0631\u064a\u0645\u064a \u0661\u0662"),
    (PERSIAN, "\u0639\u0644\u0649 \u0643\u0631\u064a\u0645\u06cc 12"),
    ("M-47", "M-\u06f4\u0667"),
]
"""Spellings of one id."""

NEARLY = [
    ("Nguyễn Văn A", "NGUYỄN VĂN A"),
    ("m-1", "M-1"),
    ("M-1", "Ｍ－1"),
    ("M-1", "M-１"),
    ("Trần Thị B", "Trần  Thị B"),
    ("Trần Thị B", "Trần\u00a0Thị B"),
    ("Trần Thị B", "Trần\u200b Thị B"),
    ("M-1", "M-1\ufe0f"),
    ("M-1", "\u202aM-1\u202c"),
    ("Hoà", "Hòa"),
    ("Đ-1", "\u00d0-1"),
    ("\u062e\u0627\u0646\u0647\u0647\u0627", "\u062e\u0627\u0646\u0647\u200c\u0647\u0627"),
    ("\u0645\u062d\u0645\u062f", "\u0645\u064f\u062d\u0645\u0651\u062f"),
    ("\u0639\u0644\u06cc", "\u0639\u0640\u0644\u06cc"),
    ("Straße", "STRASSE"),
    ("\u0639\u0644\u06cc", "\u0639\u0644\ufef2"),  # a letter in the form that it has at the end of a word
]
"""Spellings of which nobody but the operator knows whether they are one id."""

DIFFERENT = [("An", "Ấn"), ("Phường 1", "Phường 11"), ("M-1", "M1"), ("Tan", "Tân"), ("Đ-1", "D-1"), ("0", "O")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_id_have_one_normal_form(one: str, other: str) -> None:
    assert one != other
    assert normal(one) == normal(other)


@pytest.mark.parametrize(("one", "other"), NEARLY)
def test_what_is_nearly_equal_keeps_its_form_and_shares_a_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_ids_stay_different(one: str, other: str) -> None:
    assert normal(one) != normal(other)
    assert skeleton(one) != skeleton(other)


@given(st.text())
def test_the_normal_form_is_its_own_and_has_the_same_skeleton(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert skeleton(normal(text)) == skeleton(text)
    assert normal(unicodedata.normalize("NFD", text)) == normal(text)


IDS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")).filter(
    lambda text: normal(text) == text
)


@given(st.lists(IDS))
def test_many_ids_have_the_forms_that_each_has_alone(ids: list[str]) -> None:
    assert list(skeletons(ids)) == [skeleton(text) for text in ids] or not ids
    assert list(normals([f" {text}" for text in ids])) == ids


@given(st.lists(st.text("aB1 -_"), min_size=1))
def test_the_fast_path_of_ascii_gives_the_same(ids: list[str]) -> None:
    ids = [text.strip() for text in ids]
    assert list(skeletons(ids)) == [skeleton(text) for text in ids]
    assert list(normals(ids)) == ids
