"""The keys of a profile that say how a file is written, and what its records are."""

import codecs
import re

from ingest.tables.keys import TomlKeys, WrongKey
from ingest.tables.profile import JsonPart, Records, Shape, StreamsPart, WidePart, XmlPart

FILE_KEYS = (
    *("delimiter", "quote", "decimal", "thousands", "encoding", "header", "skip", "skip_blank_lines", "longest_line"),
    "of_no_interest",
)
_XML_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


def file_shape(keys: TomlKeys | None) -> Shape:
    """How a delimited table is written. Raises `WrongKey`."""
    if keys is None:
        return Shape()
    delimiter, quote = keys.text("delimiter", ","), keys.any_text("quote", '"')
    decimal, thousands = keys.one_of("decimal", [".", ","], "."), keys.any_text("thousands", "")
    if len(delimiter) != 1 or delimiter in '"\r\n\\':
        raise keys.wrong("delimiter", 'it must be one sign, such as "," or ";" or "\\t"')
    if len(quote) > 1 or quote == delimiter:
        raise keys.wrong("quote", 'it must be one sign other than the delimiter, or "" for none')
    if len(thousands) > 1 or thousands == decimal or thousands.isdigit():
        raise keys.wrong("thousands", 'it must be one sign other than the decimal mark, or "" for none')
    encoding = keys.text("encoding", "utf-8")
    try:
        name = codecs.lookup(encoding).name
        fits = name == "utf-16" or ("A1;\n".encode(name) == b"A1;\n" and b"\xe9\n".decode(name, "replace")[-1] == "\n")
    except (LookupError, UnicodeError, AttributeError):
        fits = False
    if not fits:
        raise keys.wrong("encoding", "it must be utf-8, utf-16, or a character set that extends ASCII: windows-1252")
    return Shape(
        delimiter=delimiter,
        quote=quote,
        decimal=decimal,
        thousands=thousands,
        encoding=encoding,
        header=keys.flag("header", default=True),
        skip=keys.whole("skip", 0, 1_000, 0),
        skip_blank_lines=keys.flag("skip_blank_lines", default=False),
        longest=keys.whole("longest_line", 100, 65_536, 4_096),
        of_no_interest=keys.texts("of_no_interest", ()),
    )


def json_part(top: TomlKeys, *, shaped: bool, wide: bool, streams: StreamsPart | None) -> JsonPart | None:
    """Records of JSON, if it is that. Raises `WrongKey`."""
    keys = top.table("json", ("records", "lines", "each"))
    if keys is None:
        return None
    if shaped or wide or (streams is not None and streams.pattern is not None):
        raise WrongKey("a profile with [json] has neither [file] nor [wide], nor a pattern of [streams]")
    records, of_lines = keys.any_text("records", ""), keys.flag("lines", default=False)
    if of_lines and records:
        raise keys.wrong("lines", "each line is a record, so records names no array")
    each = keys.any_text("each", "")
    return JsonPart(tuple(records.split(".")) if records else (), of_lines, tuple(each.split(".")) if each else ())


def xml_part(top: TomlKeys, *, of_table: bool) -> XmlPart | None:
    """Records of XML, if it is that. Raises `WrongKey`."""
    keys = top.table("xml", ("records",))
    if keys is None:
        return None
    if of_table:
        raise WrongKey("a profile with [xml] has neither [file], [json], [wide] nor [streams]")
    names = tuple(keys.text("records").split("."))
    if not all(_XML_NAME.fullmatch(name) for name in names):
        raise keys.wrong("records", 'it must be names of elements, joined by dots: "meter.interval.value"')
    return XmlPart(names)


def records_part(top: TomlKeys, wide: WidePart | None) -> Records | None:
    """Sub-tables, if there are any. Raises `WrongKey`."""
    keys = top.table("records", ("data", "context", "quality", "known"))
    if keys is None:
        return None
    if wide is None:
        raise WrongKey("the profile has [records], which needs [wide]")
    return Records(keys.text("data"), keys.text("context"), keys.any_text("quality", ""), keys.texts("known", ()))
