"""A profile for a file that nobody has described yet: what its beginning tells, and what it leaves open."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ingest.files.reading import NotSuchFile
from ingest.tables.json_rows import json_rows
from ingest.tables.profile import Profile, Said
from ingest.tables.profile_file import load_profile, shipped_profiles
from ingest.tables.table import json_columns
from ingest.tables.telegrams import telegram_rows
from ingest.tables.text import folded, header
from ingest.tables.times import Form
from ingest.tables.units import unit_in, units_of
from ingest.tables.xml_rows import xml_rows
from schemas.catalogue import catalogue

_SAMPLE_BYTES = 256 << 10
_LINE_BYTES = 4_096
_SAMPLE_LINES = 1_000
_DELIMITERS = (";", ",", "\t", "|")
_DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d.%m.%y", "%m/%d/%y")
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)
_METRICS = ("energy.import", "energy.solar", "waste.fill", "waste.collected")


@dataclass(slots=True)
class ProfileProposal:
    """`text` is a profile, whole if there are no `questions`; what they ask about stands in it as a comment.

    `fitting` are profiles of the package whose columns the file has. Without a text there is no proposal besides them.
    """

    fitting: Sequence[str]
    text: str = ""
    questions: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Sample:
    encoding: str
    delimiter: str
    skip: int
    names: Sequence[str]
    header: bool
    columns: Sequence[Sequence[str]]


def proposed(path: Path) -> ProfileProposal:
    """A proposal for a file. Raises `NotSuchFile` if it is no table at all."""
    profiles = [load_profile(name) for name in shipped_profiles()]
    proposal = ProfileProposal([profile.name for profile in profiles if _fits(profile, path)])
    if any(profile.names_columns or profile.records for profile in profiles if profile.name in proposal.fitting):
        return proposal  # of lines with fields of equal number, which could be described, there are none
    questions = proposal.questions
    sample = _sample(path, questions)
    columns = {name: values for name, values in zip(sample.names, sample.columns, strict=True) if name and any(values)}
    when, formats = _time(columns, questions)
    numeric = [name for name, values in columns.items() if name not in when and _numeric(values)]
    decimal = _decimal([columns[name] for name in numeric], questions)
    units = {name: unit for name in numeric if (unit := _unit(name)) is not None}
    values = list(units) or [name for name in numeric if len(set(columns[name])) > 1] or numeric
    weighed = bool(set(units.values()) & set(units_of(catalogue()["waste.collected"])))
    sources = [
        name
        for name, texts in columns.items()
        if name not in when and name not in values and 1 < len(set(texts)) <= len(texts) // 2
    ]
    proposal.text = "\n".join(
        [
            f'title = "{_quoted(path.stem)}"',
            *_metric(units, questions),
            "\n[file]",
            f'delimiter = "{_quoted(sample.delimiter)}"',
            f'decimal = "{decimal}"',
            f'encoding = "{sample.encoding}"',
            *([f"skip = {sample.skip}"] if sample.skip else []),
            *([] if sample.header else ["header = false"]),
            *_source(sources, questions),
            *_when(when, formats, questions),
            *_value(values, units, questions),
            *([] if weighed else ["\n[interval]", "spacing = true"]),
            "",
        ]
    )
    return proposal


def _fits(profile: Profile, path: Path) -> bool:
    if profile.records is not None:
        known = (profile.records.context, *profile.records.known)
        return _beginning(path).partition(profile.shape.delimiter)[0].strip() in known
    if profile.names_columns:
        return _has_records(profile, path)
    if not profile.shape.header:
        return False
    try:
        names = {folded(name) for name in header(path, profile.shape)}
    except NotSuchFile:
        return False
    value = profile.value
    needed = {*profile.time.columns, *(profile.source.columns if profile.source else ()), value.column, "stream", ""}
    found = not value.prefix or any(
        name.startswith(folded(value.prefix)) and name.endswith(folded(value.suffix)) for name in names
    )
    return found and {folded(name) for name in needed} - {"stream", ""} <= names


def _beginning(path: Path) -> str:
    """The first line that is not blank."""
    with path.open("rb") as file:
        return file.read(_LINE_BYTES).decode("latin-1").lstrip().partition("\n")[0]


def _has_records(profile: Profile, path: Path) -> bool:
    """Whether the first records of a document have what a profile reads."""
    columns = json_columns(profile, Said())
    optional = frozenset(part.column for part in profile.only)
    try:
        if profile.telegrams:
            rows = next(telegram_rows(path, columns), None) if _beginning(path).startswith("/") else None
        elif profile.json is not None:
            rows = next(json_rows(path, profile.json, columns), None)
        else:
            rows = next(xml_rows(path, profile.xml, columns, optional), None) if profile.xml else None
    except NotSuchFile:
        return False
    return rows is not None and all(
        any(rows.fields.column(place)) for place, column in enumerate(columns) if column not in optional
    )


def _sample(path: Path, questions: list[str]) -> _Sample:
    with path.open("rb") as file:
        content = file.read(_SAMPLE_BYTES)
        more = bool(file.read(1))
    encoding, text = _decoded(content, questions)
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = (lines[:-1] if more or not lines[-1] else lines)[:_SAMPLE_LINES]
    best = max(_DELIMITERS, key=lambda sign: _regular(lines, sign))
    count = _regular(lines, best)
    if text.lstrip("\ufeff \r\n\t")[:1] in ("{", "["):
        raise NotSuchFile(f"{path.name}: looks like JSON: describe its records with [json] in a profile")
    if text.lstrip("\ufeff \r\n\t")[:1] == "<":
        raise NotSuchFile(f"{path.name}: looks like XML: describe its records with [xml] in a profile")
    if not content:
        raise NotSuchFile(f"{path.name}: is empty")
    if not count:
        raise NotSuchFile(f"{path.name}: is no table: no sign divides its lines into the same number of fields")
    try:
        rows = [next(csv.reader([line], delimiter=best), []) for line in lines]
    except csv.Error:
        what = "within a line there is a carriage return, or a field of more than 128 kB"
        raise NotSuchFile(f"{path.name}: is no table: {what}") from None
    width = max({len(row) for row in rows}, key=[len(row) for row in rows].count)
    skip = next(number for number, row in enumerate(rows) if len(row) == width)
    names = [name.removeprefix("\ufeff").strip() for name in rows[skip]]
    named = not any(_NUMBER.fullmatch(name) or _formats([name]) for name in names)
    body = [row for row in rows[skip + named :] if len(row) == width]
    if not body:
        raise NotSuchFile(f"{path.name}: has no line besides its first one")
    columns = [[row[place].strip() for row in body] for place in range(width)]
    numbered = [str(number) for number in range(1, width + 1)]
    return _Sample(encoding, best, skip, names if named else numbered, named, columns)


def _decoded(content: bytes, questions: list[str]) -> tuple[str, str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", content[: len(content) // 2 * 2].decode("utf-16", "replace")
    try:
        return "utf-8", content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start > len(content) - 4:  # a character that the sample cuts
            return "utf-8", content[: error.start].decode("utf-8-sig")
    questions.append("encoding: it is not UTF-8, and may be windows-1252 or another: see letters with accents in it")
    return "windows-1252", content.decode("windows-1252", "replace")


def _regular(lines: Sequence[str], sign: str) -> int:
    """How many lines have as many of a sign as most of them have."""
    counts = [line.count(sign) for line in lines if line.strip()]
    return max((counts.count(count) for count in set(counts) if count), default=0)


def _formats(values: Sequence[str]) -> Sequence[str]:
    """The formats in which all values of a column are times."""
    present = list(dict.fromkeys(value for value in values if value))
    if not present:
        return []
    if all(re.fullmatch(r"1\d{9}|1\d{12}", value, re.ASCII) for value in present):
        return ["epoch-s" if len(present[0]) == 10 else "epoch-ms"]
    return [text for text, form in _known_forms().items() if _all_in(form, present)]


@cache
def _known_forms() -> Mapping[str, Form]:
    whole = [date + between + clock for date in _DATES for between in (" ", "T") for clock in _CLOCKS]
    return {text: Form(text) for text in [*_DATES, *whole, *(form + "%z" for form in whole)]}


def _all_in(form: Form, values: Sequence[str]) -> bool:
    return all(
        (local := form.local(value)) is not None and 1 <= local.month <= 12 and 1 <= local.day <= 31 for value in values
    )


def _time(columns: Mapping[str, Sequence[str]], questions: list[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The columns of the time, and the formats that they may be in."""
    found = {name: formats for name, values in columns.items() if (formats := _formats(values))}
    whole = [name for name, formats in found.items() if any("%H" in f or "%I" in f or "epoch" in f for f in formats)]
    if whole:
        if len(whole) > 1:
            questions.append(f"[time] columns: {', '.join(whole)} hold times: choose the one that begins the interval")
        return whole[:1], found[whole[0]]
    for day, dates in found.items():
        for name, values in columns.items():
            if name not in found and (formats := _formats([f"2000-01-01 {clock}" for clock in values if clock])):
                clocks = [form.partition(" ")[2] for form in formats if form.startswith("%Y-%m-%d ")]
                return [day, name], [f"{date} {clock}" for date in dates for clock in clocks]
    questions.append("[time]: no column holds times in a form that is known here")
    return [], []


def _numeric(values: Sequence[str]) -> bool:
    present = [value for value in values if value]
    return bool(present) and sum(bool(_NUMBER.fullmatch(value)) for value in present) * 2 > len(present)


def _decimal(columns: Sequence[Sequence[str]], questions: list[str]) -> str:
    """The decimal mark, or "?", which no profile may have: a number such as 1.234 may be thousands."""
    texts = [value for values in columns for value in values if "," in value or "." in value]
    if not texts:
        return "."
    marks = {re.sub(r"[^.,]", "", text)[-1] for text in texts}
    plain = {mark for mark in marks for text in texts if mark in text and not _THOUSANDS.fullmatch(text)}
    if len(marks) == 1 and plain:
        return marks.pop()
    questions.append(
        "decimal: its numbers may have thousands or decimals "
        f"({texts[0]}): say decimal and, if there are such, thousands"
    )
    return "?"


def _unit(name: str) -> str | None:
    units = [unit for metric in _METRICS for unit in units_of(catalogue()[metric])]
    return unit_in(name, sorted(units, key=len, reverse=True))


def _metric(units: dict[str, str], questions: list[str]) -> Sequence[str]:
    fitting = [
        name for name in _METRICS if not units or any(unit in units_of(catalogue()[name]) for unit in units.values())
    ]
    if len(fitting) == 1:
        return [f'metric = "{fitting[0]}"']
    questions.append(f"metric: {' or '.join(fitting)}")
    return [f'# metric = "{name}"' for name in fitting]


def _source(sources: Sequence[str], questions: list[str]) -> Sequence[str]:
    if not sources:
        return ["\n# without [source], --source names it"]
    if len(sources) > 1:
        questions.append(f"[source] text: {', '.join(sources)} may name the source")
        return ["\n# [source]", *(f'# text = "{{{_quoted(name)}}}"' for name in sources)]
    return ["\n[source]", f'text = "{{{_quoted(sources[0])}}}"']


def _when(when: Sequence[str], formats: Sequence[str], questions: list[str]) -> Sequence[str]:
    listed = ", ".join(f'"{_quoted(name)}"' for name in when)
    lines = ["\n[time]", f"columns = [{listed}]"]
    if len(formats) > 1:
        questions.append(f"[time] formats: {' or '.join(formats)}: all of its times can be read as each")
        lines += [f'# formats = "{form}"' for form in formats]
    else:
        lines += [f'formats = "{form}"' for form in formats]
    if any("%z" in form or "epoch" in form for form in formats):
        return [*lines, 'zone = "text"']
    questions.append("[time] zone: the file does not say it. An IANA zone, or city; and marks, if times end intervals")
    return [*lines, '# zone = "city"']


def _value(values: Sequence[str], units: dict[str, str], questions: list[str]) -> Sequence[str]:
    lines = ["\n[value]"]
    if len(values) != 1:
        questions.append(f"[value] column: {', '.join(values) or 'no column holds numbers'}")
    mark = "" if len(values) == 1 else "# "
    for name in values:
        lines.append(f'{mark}column = "{_quoted(name)}"')
        if name in units:
            lines.append(f'{mark}unit = "{units[name]}"')
    if not all(name in units for name in values):
        questions.append("[value] unit: the names of the columns do not say it")
        lines.append('# unit = "kWh"')
    return lines


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
