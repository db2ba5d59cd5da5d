"""The pages of bodies that a process keeps: bounded, and the ones used last."""

from hypothesis import given
from hypothesis import strategies as st

from api.exchange.stored_pages import KeptPage, KeptPages

MOST = 100


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 120))))
def test_what_is_kept_has_at_most_so_many_bytes_and_the_page_of_its_name(used):
    kept, given_before = KeptPages(MOST), {}
    for number, size in used:
        page = given_before.setdefault(str(number), KeptPage(b"x" * size, str(number)))
        kept.keep(str(number), page)
        found = {name: kept.get(name) for name in given_before}
        assert all(content in (None, given_before[name]) for name, content in found.items())
        assert sum(len(content.content) for content in found.values() if content) == kept.size <= MOST


def test_the_page_that_was_used_longest_ago_goes_first():
    kept, page = KeptPages(MOST), KeptPage(b"x" * (MOST // 2), "hash")
    kept.keep("first", page)
    kept.keep("second", page)
    assert kept.get("first") == page
    kept.keep("third", page)
    assert [kept.get(name) for name in ("first", "second", "third")] == [page, None, page]
