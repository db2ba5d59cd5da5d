from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from store.spellings import Spellings


def upper(ids: Sequence[str]) -> Sequence[str]:
    forms = [text.upper() for text in ids]
    return ids if forms == list(ids) else forms


@given(st.lists(st.lists(st.tuples(st.text("aAbB", max_size=3), st.integers(0, 50)), max_size=8), max_size=5))
def test_nearly_equal_ids_are_found_in_any_blocks(blocks: list[list[tuple[str, int]]]) -> None:
    spellings = Spellings(upper)
    by_form: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for block in blocks:
        spellings.add([text for text, _ in block], [label for _, label in block])
        for text, label in block:
            by_form[text.upper()][text].append(label)
    expected = [sorted(sorted(labels) for labels in found.values()) for found in by_form.values() if len(found) > 1]
    assert spellings.groups() == sorted(expected)
