"""Answers as CSV beside JSON, for spreadsheets, pandas and R: which one a request wants, and how a table is written."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from fastapi import Query, Request

CSV = "text/csv"
MEDIA_TYPE = "text/csv; charset=utf-8"

Value = str | int | float | bool | None

TableFormat = Annotated[
    Literal["json", "csv"] | None,
    Query(
        alias="format", description="`csv` for a table, `json` for the rest. Without it, `Accept` decides, else JSON."
    ),
]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_table(request: Request, chosen: str | None) -> bool:
    """Whether the answer is to be CSV: by the parameter `format`, else if `Accept` names text/csv and no JSON."""
    if chosen is not None:
        return chosen == "csv"
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return CSV in accepted and "application/json" not in accepted


def table(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> bytes:
    """CSV (RFC 4180) in UTF-8, with a header. None is empty, a truth value is true or false.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_field(value) for value in row] for row in rows)
    return written.getvalue().encode()


def _field(value: Value) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
