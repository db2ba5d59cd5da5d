"""Which requests get CSV, and what it looks like to a reader."""

import csv
import io

import pytest
from fastapi import Request

from api.tables import Value, table, wants_table


def request(accept: str | None) -> Request:
    headers = [] if accept is None else [(b"accept", accept.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("accept", "chosen", "wanted"),
    [
        (None, None, False),
        ("*/*", None, False),
        ("text/csv", None, True),
        ("text/html, Text/CSV;q=0.9", None, True),
        ("application/json, text/csv", None, False),
        ("text/csv", "json", False),
        ("application/json", "csv", True),
    ],
)
def test_the_parameter_decides_and_else_accept(accept: str | None, chosen: str | None, wanted: bool) -> None:
    assert wants_table(request(accept), chosen) is wanted


def test_a_table_reads_back_and_holds_no_formula() -> None:
    rows: list[tuple[Value, ...]] = [
        ("=cmd|' /C calc'!A0", -5, None, True),
        ("@x", 2**63 - 1, 0.5, False),
        ('a "b",\nc', 0, "", True),
    ]
    read = list(csv.reader(io.StringIO(table(("name", "n", "x", "own"), rows).decode(), newline="")))
    assert read == [
        ["name", "n", "x", "own"],
        ["'=cmd|' /C calc'!A0", "-5", "", "true"],
        ["'@x", str(2**63 - 1), "0.5", "false"],
        ['a "b",\nc', "0", "", "true"],
    ]
