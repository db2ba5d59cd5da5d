from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from store.spellings import Spellings
from store.texts import Texts


def upper(ids: Texts) -> Texts:
    forms = [text.upper() for text in ids.strings()]
    return ids if forms == ids.strings() else Texts.of(forms)


@given(st.lists(st.lists(st.tuples(st.text("aAbB", max_size=3), st.integers(0, 50)), max_size=8), max_size=5))
def test_nearly_equal_ids_are_found_in_any_blocks(blocks: list[list[tuple[str, int]]]) -> None:
    spellings = Spellings(upper)
    by_form: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for block in blocks:
        spellings.add(Texts.of([text for text, _ in block]), np.array([label for _, label in block], np.int64))
        for text, label in block:
            by_form[text.upper()][text].append(label)
    expected = [sorted(sorted(labels) for labels in found.values()) for found in by_form.values() if len(found) > 1]
    assert spellings.groups() == sorted(expected)
