import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.plain_fields import LONGEST_FIELD, plain_fields


def by_parser(lines: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(StringIO(lines, newline=""), delimiter=delimiter, strict=True))


def found(lines: str, delimiter: str, width: int) -> list[list[str]] | None:
    fields = plain_fields(lines.encode("utf-8", "surrogatepass"), delimiter, width)
    if fields is None:
        return None
    columns = [fields.column(k).strings() for k in range(width)]
    return [list(row) for row in zip(*columns, strict=True)]


@given(st.text('ab ;,\t\n\r"\0đ', max_size=12), st.sampled_from([",", ";", "\t"]), st.integers(2, 3))
def test_what_needs_no_parser_is_what_the_parser_finds(lines: str, delimiter: str, width: int) -> None:
    plain = found(lines, delimiter, width)
    assert plain is None or plain == by_parser(lines, delimiter)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(st.lists(st.tuples(*[st.text("ab -", max_size=4)] * 3), min_size=1, max_size=5), st.booleans())
def test_printable_ascii_in_lines_of_equal_width_needs_no_parser(
    end: str, rows: list[tuple[str, ...]], ended: bool
) -> None:
    lines = end.join(map(";".join, rows)) + end * ended
    assert found(lines, ";", 3) == [list(row) for row in rows]
    assert found(lines, ";", 2) is None


@pytest.mark.parametrize("field", ['a"', "a\rb", "a\0", "đ", "a\tb", "x" * (LONGEST_FIELD + 1)])
def test_other_lines_are_left_to_the_parser(field: str) -> None:
    assert found(f"{field},b\n", ",", 2) is None
    assert found("x" * LONGEST_FIELD + ",b\n", ",", 2) is not None
