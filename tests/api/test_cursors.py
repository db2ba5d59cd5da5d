"""A text is the cursor of one position in one log, or it is refused."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import BadCursor, cursor, place


@given(st.uuids(), st.integers(0, 2**63 - 1))
def test_a_cursor_decodes_to_its_log_and_position(log: UUID, position: int) -> None:
    text = cursor(str(log), position)
    assert place(text) == (str(log), position)
    assert text.isascii() and text.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=40))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        log, position = place(text)
    except BadCursor:
        return
    assert cursor(log, position) == text


@pytest.mark.parametrize("text", ["", "A" * 31, "A" * 33, "A" * 31 + "=", "A" * 31 + "+", "A" * 16 + "\n" + "A" * 16])
def test_texts_that_are_nearly_cursors_are_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        place(text)
