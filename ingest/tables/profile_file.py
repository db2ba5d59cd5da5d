"""Reading and checking a profile: a TOML file, of the package or of the operator."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from errors import OperatorError
from ingest.tables import profiles
from ingest.tables.faults import REASONS
from ingest.tables.keys import TomlKeys, WrongKey
from ingest.tables.profile import (
    IntervalPart,
    OnlyPart,
    Profile,
    QualityPart,
    Repeated,
    RepeatedColumn,
    SourcePart,
    StreamsPart,
    TimePart,
    ValuePart,
    WidePart,
)
from ingest.tables.shape_keys import FILE_KEYS, file_shape, json_part, records_part, xml_part
from ingest.tables.times import DAY_MS, EPOCHS, Form, WrongFormat
from ingest.tables.units import is_rate, units_of
from schemas.catalogue import Metric, catalogue

_TOP = (
    *("title", "metric", "noun", "file", "json", "xml", "telegrams", "records", "source", "time", "value", "interval"),
    *("streams", "wide", "quality", "only"),
)
_TIME = ("columns", "formats", "zone", "marks", "repeated", "sequence", "month", "year")
_VALUE = (
    *("column", "begins_with", "ends_with", "plus", "unit", "units", "unit_column", "unit_in_name", "volts_amperes"),
    *("missing", "signed", "exponent", "cumulative"),
)
_LENGTHS: Mapping[str, int] = {"seconds": 1_000, "minutes": 60_000}
_REPEATED: Mapping[str, Repeated] = {"refuse": "refuse", "first": "first", "order": "order"}


class ProfileError(OperatorError):
    """A profile that cannot be used; the message names the file, the key, and what is allowed."""


@cache
def shipped_profiles() -> Sequence[str]:
    """The names that `load_profile` knows, in alphabetical order."""
    found = (Path(entry.name) for entry in files(profiles).iterdir())
    return tuple(sorted(name.stem for name in found if name.suffix == ".toml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read and check a profile: one of `shipped_profiles()`, or the path of a TOML file. Raises `ProfileError`."""
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"{path}: cannot be read: {error}") from None
    elif name_or_path in shipped_profiles():
        return _shipped(str(name_or_path))
    else:
        known = ", ".join(shipped_profiles())
        raise ProfileError(f"{name_or_path}: no such profile is shipped; give {known} or the path of a .toml file")
    return parse_profile(text, path.stem, str(name_or_path))


@cache
def _shipped(name: str) -> Profile:
    text = files(profiles).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return parse_profile(text, name, name)


def parse_profile(text: str, name: str, where: str) -> Profile:
    """A profile from its text; `where` names it in errors. Raises `ProfileError`."""
    try:
        return _profile(TomlKeys("the profile", tomllib.loads(text), _TOP), name)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{where}: is not TOML: {error}") from None
    except (WrongKey, WrongFormat) as error:
        raise ProfileError(f"{where}: {error}") from None


def _profile(top: TomlKeys, name: str) -> Profile:
    metrics = [metric for metric in catalogue().values() if units_of(metric)]
    metric = catalogue()[top.one_of("metric", [metric.name for metric in metrics])]
    shape = file_shape(top.table("file", FILE_KEYS))
    interval = _interval(top, metric)
    streams = _streams(top)
    wide = _wide(top, interval)
    of_json = json_part(top, shaped="file" in top, wide=wide is not None, streams=streams)
    of_xml = xml_part(top, of_table="file" in top or of_json is not None or wide is not None or streams is not None)
    telegrams = top.table("telegrams", ()) is not None
    if telegrams and ("file" in top or of_json or of_xml or wide or streams):
        raise WrongKey("a profile with [telegrams] has neither [file], [json], [xml], [wide] nor [streams]")
    if streams is not None and wide is not None:
        raise WrongKey("the profile has both [streams] and [wide]; it may have one of them")
    of_records = "records" if of_json or of_xml else "telegrams" if telegrams else "lines"
    noun = "readings" if streams or wide else of_records
    return Profile(
        name=name,
        title=top.text("title"),
        metric=metric.name,
        noun=top.text("noun", noun),
        shape=shape,
        source=_source(top, streams is not None),
        time=_time(top, interval, wide),
        value=_value(
            top,
            metric,
            has_columns=streams is None and wide is None,
            interval=interval,
            named=of_json is not None or of_xml is not None or telegrams,
        ),
        interval=interval,
        json=of_json,
        xml=of_xml,
        telegrams=telegrams,
        records=records_part(top, wide),
        streams=streams,
        wide=wide,
        quality=_quality(top),
        only=tuple(map(_only, top.tables("only", ("column", "texts", "beginnings", "else")))),
    )


def _source(top: TomlKeys, has_streams: bool) -> SourcePart | None:
    keys = top.table("source", ("text", "strip"))
    if keys is None:
        if has_streams:
            raise WrongKey("the profile needs [source] with text: its streams are sources of their own")
        return None
    text = keys.text("text")
    columns = tuple(re.findall(r"\{([^{}]+)\}", text))
    rest = re.sub(r"\{[^{}]+\}", "", text)
    if "{" in rest or "}" in rest or not [column for column in columns if column != "stream"]:
        raise keys.wrong("text", 'it must hold the names of columns in braces, such as "{meter}/{channel}"')
    if has_streams != ("stream" in columns):
        raise keys.wrong("text", "{stream} belongs to a profile with [streams], and must be in its text")
    return SourcePart(text, columns, keys.any_text("strip", ""))


def _time(top: TomlKeys, interval: IntervalPart, wide: WidePart | None) -> TimePart:
    keys = top.table("time", _TIME)
    if keys is None:
        raise WrongKey("the profile needs [time]")
    formats = keys.texts("formats")
    sequence, epochs = keys.any_text("sequence", ""), [text for text in formats if text in EPOCHS]
    if epochs and len(formats) > 1:
        raise keys.wrong("formats", "an epoch is the only format of its column")
    forms = [] if epochs else [Form(text) for text in formats]
    days_only = wide is not None or interval.kind == "month" or bool(sequence)
    if any(form.has_clock == days_only for form in forms):
        kind = "only a day or month" if days_only else "a time of day (%H or %I)"
        raise keys.wrong("formats", f"each must have {kind} in this profile")
    if interval.kind != "month" and any("d" not in form.names for form in forms):
        raise keys.wrong("formats", "each must have a day (%d)")
    zone = keys.text("zone")
    with_offset = bool(epochs) or all("z" in form.names for form in forms)
    if with_offset != (zone == "text"):
        raise keys.wrong("zone", 'it must be "text" if all formats have %z or are an epoch, and only then')
    if zone not in ("text", "city"):
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError):
            raise keys.wrong("zone", 'it must be a zone such as "Europe/Oslo", or "city", or "text"') from None
    if interval.until and (wide is not None or "sequence" in keys or keys.any_text("marks", "") == "end"):
        raise WrongKey("[interval] until belongs to a profile whose times begin intervals, a line for each")
    month, year = keys.any_text("month", ""), keys.any_text("year", "")
    if bool(month) != bool(year):
        raise keys.wrong("month" if month else "year", "columns of month and year belong together")
    return TimePart(
        columns=keys.texts("columns"),
        formats=formats,
        zone=zone,
        ends=keys.one_of("marks", ["beginning", "end"], "beginning") == "end",
        repeated=_repeated(keys, with_offset or (days_only and not (wide is not None and wide.by_clock))),
        sequence=sequence,
        month=month,
        year=year,
    )


def _repeated(keys: TomlKeys, certain: bool) -> Repeated | RepeatedColumn:
    if "repeated" not in keys:
        return "refuse"
    if certain:
        raise keys.wrong("repeated", "no time of this profile is in an hour that the clock repeats")
    table = keys.table("repeated", ("column", "first", "second")) if not _is_text(keys) else None
    if table is None:
        return _REPEATED[keys.one_of("repeated", list(_REPEATED))]
    first, second = frozenset(table.texts("first")), frozenset(table.texts("second"))
    if first & second:
        raise table.wrong("first", "a text must not stand for both hours")
    return RepeatedColumn(table.text("column"), first, second)


def _is_text(keys: TomlKeys) -> bool:
    try:
        keys.text("repeated")
    except WrongKey:
        return False
    return True


def _value(top: TomlKeys, metric: Metric, *, has_columns: bool, interval: IntervalPart, named: bool) -> ValuePart:
    keys = top.table("value", _VALUE)
    if keys is None:
        raise WrongKey("the profile needs [value]")
    column, prefix = keys.any_text("column", ""), keys.any_text("begins_with", "")
    if has_columns != (bool(column) != bool(prefix)):
        raise WrongKey("[value] needs either column or begins_with, and neither beside [streams] or [wide]")
    suffix = keys.any_text("ends_with", "")
    if suffix and not prefix:
        raise keys.wrong("ends_with", "it belongs to begins_with")
    unit, units = keys.any_text("unit", ""), keys.texts("units", ())
    unit_column = keys.any_text("unit_column", "")
    for key, said in (("unit", (unit,) if unit else ()), ("units", units)):
        if wrong := [name for name in said if name not in units_of(metric)]:
            raise keys.wrong(key, f"{wrong[0]} is no unit of {metric.name}; it may be {', '.join(units_of(metric))}")
    if not (unit or units or unit_column) or (unit_column and (unit or units)):
        raise WrongKey("[value] needs unit, or units to choose from, or unit_column")
    if unit and units and unit not in units:
        raise keys.wrong("unit", "it must be one of units")
    if interval.kind == "moment" and any(map(is_rate, (unit, *units))):
        raise keys.wrong("unit", "power is an amount only with [interval]")
    if named and (prefix or keys.flag("unit_in_name", default=False)):
        raise WrongKey(
            "[value] of a profile with [json], [xml] or [telegrams] needs column, the whole name, and unit, units or "
            "unit_column"
        )
    factors = keys.texts("volts_amperes", ())
    if factors and len(factors) != 2:
        raise keys.wrong("volts_amperes", "it must be two columns")
    return ValuePart(
        column=column,
        prefix=prefix,
        suffix=suffix,
        plus=keys.texts("plus", ()),
        unit=unit,
        units=units,
        unit_column=unit_column,
        unit_in_name=keys.flag("unit_in_name", default=False),
        volts_amperes=factors,
        missing=frozenset(keys.texts("missing", [""])),
        signed=keys.flag("signed", default=True),
        exponent=keys.flag("exponent", default=named),
        cumulative=_cumulative(keys, interval, has_columns, (unit, *units)),
    )


def _cumulative(keys: TomlKeys, interval: IntervalPart, has_columns: bool, units: Sequence[str]) -> bool:
    if not keys.flag("cumulative", default=False):
        return False
    if interval.kind not in ("fixed", "spacing") or interval.until or not has_columns or any(map(is_rate, units)):
        raise WrongKey(
            "[value] cumulative is for states of a register: one column of energy or weight, and an [interval] with "
            "seconds or spacing"
        )
    return True


def _interval(top: TomlKeys, metric: Metric) -> IntervalPart:
    keys = top.table("interval", ("seconds", "spacing", "month", "column", "unit", "words", "until"))
    if keys is None:
        if metric.reading != "moment":
            raise WrongKey(f"the profile needs [interval]: {metric.name} is of intervals")
        return IntervalPart("moment")
    if metric.reading == "moment":
        raise WrongKey(f"the profile has [interval], but {metric.name} is of moments")
    chosen = [key for key in ("seconds", "spacing", "month", "column") if key in keys]
    if len(chosen) != 1:
        raise WrongKey("[interval] needs one of seconds, spacing = true, month = true, column")
    if chosen == ["seconds"]:
        length = keys.whole("seconds", 1, metric.longest_window_ms // 1_000) * 1_000
        return IntervalPart("fixed", length, until=keys.texts("until", ()))
    if chosen == ["column"]:
        unit = _LENGTHS[keys.one_of("unit", list(_LENGTHS))] if "unit" in keys else 0
        words = {text: _milliseconds(keys, seconds) for text, seconds in keys.names("words").items()}
        if not unit and not words:
            raise keys.wrong("column", "say the unit of its numbers (seconds, minutes), or words with their seconds")
        until = keys.texts("until", ())
        return IntervalPart("column", column=keys.text("column"), unit_ms=unit, words=words, until=until)
    if not keys.flag(chosen[0], default=True):
        raise keys.wrong(chosen[0], "it must be true, or not be there")
    if chosen == ["month"] and "until" in keys:
        raise keys.wrong("until", "a month needs none")
    return IntervalPart("spacing" if chosen == ["spacing"] else "month", until=keys.texts("until", ()))


def _milliseconds(keys: TomlKeys, seconds: str) -> int:
    if not re.fullmatch(r"\d{1,7}", seconds, re.ASCII) or not int(seconds):
        raise keys.wrong("words", 'each must be a number of seconds as text: { PT30M = "1800" }')
    return int(seconds) * 1_000


def _streams(top: TomlKeys) -> StreamsPart | None:
    keys = top.table("streams", ("names", "pattern", "empty", "places"))
    if keys is None:
        return None
    pattern = keys.any_text("pattern", "")
    try:
        compiled = re.compile(pattern, re.ASCII) if pattern else None
    except re.error as error:
        raise keys.wrong("pattern", f"it is no regular expression: {error}") from None
    if compiled is not None and compiled.groups < 1:
        raise keys.wrong("pattern", "its first group must be the name of the stream")
    names = keys.names("names")
    if compiled is None and not names:
        raise WrongKey("[streams] needs names or pattern")
    empty = keys.one_of("empty", ["not-collected"], "not-collected")
    return StreamsPart(names, compiled, empty, keys.whole("places", 2, 1_000, 1_000))


def _wide(top: TomlKeys, interval: IntervalPart) -> WidePart | None:
    keys = top.table("wide", ("first", "stop", "by_clock", "numbered"))
    if keys is None:
        return None
    by_clock, first = keys.flag("by_clock", default=False), keys.any_text("first", "")
    numbered = keys.flag("numbered", default=False)
    if by_clock == bool(first) or (by_clock and numbered) or ((by_clock or numbered) and "stop" in keys):
        raise WrongKey(
            "[wide] needs either by_clock = true, or first, the first column of intervals, and maybe stop or numbered"
        )
    if numbered and (interval.kind != "fixed" or not re.fullmatch(r".*\D0*1", first)):
        raise keys.wrong("numbered", "first must be a name that ends with the number 1, and [interval] have seconds")
    if interval.kind not in ("fixed", "column") or (interval.fixed_ms and DAY_MS % interval.fixed_ms):
        raise WrongKey("[interval] of a profile with [wide] needs seconds that divide a day, or column")
    return WidePart(first, keys.any_text("stop", ""), by_clock, numbered)


def _quality(top: TomlKeys) -> QualityPart | None:
    keys = top.table("quality", ("column", "actual", "estimated", "varies", "after_values"))
    if keys is None:
        return None
    actual, estimated = keys.texts("actual"), keys.texts("estimated", ())
    if both := set(actual) & set(estimated):
        raise keys.wrong("actual", f"{both.pop()!r} must not be in estimated, too")
    return QualityPart(
        keys.text("column"),
        actual,
        estimated,
        keys.any_text("varies", ""),
        keys.flag("after_values", default=False),
    )


def _only(keys: TomlKeys) -> OnlyPart:
    texts, beginnings = keys.texts("texts", ()), keys.texts("beginnings", ())
    if not texts and not any(beginnings):
        raise WrongKey(f"{keys.label} needs texts or beginnings: what the column may hold")
    return OnlyPart(keys.text("column"), frozenset(texts), beginnings, keys.one_of("else", REASONS))
