from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.files.channels import MOST_LINKS
from ingest.files.green_button import GreenButton
from ingest.files.markup import LONGEST_MARKUP, LONGEST_TEXT
from ingest.files.reading import NotSuchFile, Parsed
from tests.ingest.files.imports import ABSENT, DATA, imported, notes, outcomes, parsed, peak_bytes, reasons, register
from tests.soak import amount, soak, soak_only

REAL = (DATA / "energy/cew821_sample_greenbutton_data.xml", DATA / "energy/openespi_test_usage_data_01.xml")
ESPI = "{http://naesb.org/espi}"
START = 1_330_578_000
DELIVERED_WH = {"uom": 72, "flowDirection": 1, "accumulationBehaviour": 4, "commodity": 1}


def element(name: str, **fields: object) -> str:
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f'<{name} xmlns="http://naesb.org/espi">{inside}</{name}>'


def entry(content: str, **links: str | list[str]) -> str:
    pairs = [(rel, href) for rel, hrefs in links.items() for href in ([hrefs] if isinstance(hrefs, str) else hrefs)]
    found = "".join(f'<link rel="{"self" if rel == "own" else rel}" href="{href}"/>' for rel, href in pairs)
    return f"<entry>{found}<content>{content}</content></entry>"


def reading(value: object, start: int = START, duration: int = 900, quality: str = "") -> str:
    qualities = "".join(f"<ReadingQuality><quality>{number}</quality></ReadingQuality>" for number in quality.split())
    period = f"<timePeriod><duration>{duration}</duration><start>{start}</start></timePeriod>"
    return f"<IntervalReading>{qualities}{period}<value>{value}</value></IntervalReading>"


def block(*readings: str) -> str:
    whole = f"<interval><duration>86400</duration><start>{START}</start></interval>"
    return f'<IntervalBlock xmlns="http://naesb.org/espi">{whole}{"".join(readings)}</IntervalBlock>'


def feed(*entries: str) -> str:
    return f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{"".join(entries)}</feed>'


def metered(said: Mapping[str, object], *readings: str) -> str:
    """A feed of one channel, linked as the standard has it."""
    return feed(
        entry(element("MeterReading"), own="M/1", up="M", related=["M/1/IntervalBlock", "T/1"]),
        entry(element("ReadingType", **said), own="T/1", up="T"),
        entry(block(*readings), own="M/1/IntervalBlock/1", up="M/1/IntervalBlock"),
    )


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "usage.xml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_the_published_files_agree_with_an_xml_tree(path: Path) -> None:
    if not path.exists():
        pytest.skip(ABSENT)
    wanted = []
    for element in ElementTree.parse(path).iter(f"{ESPI}IntervalReading"):
        start, duration = (
            int(element.findtext(f"{ESPI}timePeriod/{ESPI}{name}") or 0) for name in ("start", "duration")
        )
        estimated = element.findtext(f"{ESPI}ReadingQuality/{ESPI}quality") == "8"
        value = int(element.findtext(f"{ESPI}value") or 0) * 3_600_000
        wanted.append(("energy.import", start * 1000, duration * 1000, value, 0 if estimated else 1))
    found = parsed(GreenButton(), path)
    assert [(p.metric, p.start_ms, p.interval_ms, p.value, p.quality) for p in found] == wanted
    assert len(found) == len(outcomes(GreenButton(), path)) > 90
    assert [outcome.position for outcome in found] == list(range(1, len(found) + 1))
    assert all(
        outcome.original.startswith(b"<IntervalReading>") and b"<value>" in outcome.original for outcome in found
    )


@pytest.mark.parametrize(
    ("said", "value", "millijoules"),
    [
        (DELIVERED_WH, 282, 282 * 3_600_000),
        ({"uom": 72}, 7, 7 * 3_600_000),
        ({"uom": 72, "powerOfTenMultiplier": 3}, 2, 7_200_000_000),
        ({"uom": 72, "powerOfTenMultiplier": -3}, 1, 3_600),
        ({"uom": 72, "powerOfTenMultiplier": -5}, 3, 108),
        ({"uom": 72, "commodity": 2}, 1, 3_600_000),
        ({"uom": 72, "powerOfTenMultiplier": -9}, 125, 0),
        ({"uom": 72, "powerOfTenMultiplier": -9}, 417, 2),
        ({"uom": 72, "accumulationBehaviour": 0, "flowDirection": 0, "dataQualifier": 0}, 7, 7 * 3_600_000),
        (DELIVERED_WH, "1.5", 5_400_000),
        ({"uom": 38}, 5, 5 * 900_000),
        ({"uom": 38, "accumulationBehaviour": 12, "dataQualifier": 2}, 5, 5 * 900_000),
        ({"uom": 38, "powerOfTenMultiplier": -3}, 10, 9_000),
        (DELIVERED_WH, -4, -4 * 3_600_000),
    ],
)
def test_units_and_powers_of_ten_are_exact_millijoules(file, said, value, millijoules) -> None:
    assert [outcome.value for outcome in parsed(GreenButton(), file(metered(said, reading(value))))] == [millijoules]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(-12, 12))
def test_an_amount_is_that_of_the_file_to_half_a_millijoule(file, value: int, power: int) -> None:
    [found] = outcomes(GreenButton(), file(metered({"uom": 72, "powerOfTenMultiplier": power}, reading(value))))
    assert isinstance(found, Parsed)
    assert found.value == round(Fraction(value * 3_600_000) * Fraction(10) ** power)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"uom": 119, "commodity": 7}, "not-electricity"),
        ({"uom": 119}, "not-electricity"),
        ({"uom": 72, "commodity": 7}, "not-electricity"),
        ({"uom": 72, "commodity": 9}, "not-electricity"),
        ({"uom": 71}, "unit"),
        ({"uom": 29}, "unit"),
        ({}, "unit"),
        ({"uom": 72, "powerOfTenMultiplier": 13}, "unit"),
        ({"uom": 72, "powerOfTenMultiplier": "many"}, "unit"),
        ({"uom": 72, "flowDirection": 19}, "flow-direction"),
        ({"uom": 72, "flowDirection": 4}, "flow-direction"),
        ({"uom": 72, "accumulationBehaviour": 3}, "accumulation"),
        ({"uom": 72, "accumulationBehaviour": 12}, "accumulation"),
        ({"uom": 38, "accumulationBehaviour": 3}, "accumulation"),
        ({"uom": 38, "dataQualifier": 8}, "qualifier"),
    ],
)
def test_readings_that_are_no_energy_delivered_in_an_interval_are_refused_with_a_reason(file, said, reason) -> None:
    assert reasons(GreenButton(), file(metered(said, reading(1), reading(2)))) == {1: reason, 2: reason}


def test_a_fault_of_a_reading_affects_no_other_reading(file) -> None:
    path = file(
        metered(
            DELIVERED_WH,
            reading(1, duration=3_601),
            reading(""),
            reading("1,5"),
            reading("abc"),
            reading(1, start=-5),
            reading(1, start=999_999_999_999),
            reading(1, duration=0),
            "<IntervalReading/>",
            "<IntervalReading><value>1</value></IntervalReading>",
            reading("9" * 16),
            reading(1, duration=3_600),
        )
    )
    assert reasons(GreenButton(), path) == {
        **{1: "interval", 2: "missing", 3: "number", 4: "number", 5: "time", 6: "time"},
        **{7: "no-interval", 8: "missing", 9: "time", 10: "number"},
    }
    assert [outcome.position for outcome in parsed(GreenButton(), path)] == [11]


def test_estimated_and_projected_values_are_estimates(file) -> None:
    qualities = ["", "0", "7", "8", "9", "12", "17", "17 9", "10"]
    found = parsed(GreenButton(), file(metered(DELIVERED_WH, *(reading(1, quality=quality) for quality in qualities))))
    assert [outcome.quality for outcome in found] == [1, 1, 1, 0, 0, 0, 1, 0, 1]


def test_links_give_a_blocks_type_wherever_they_are_in_the_feed(file) -> None:
    path = file(
        feed(
            entry(block(reading(1)), own="M/1/IntervalBlock/1", up="M/1/IntervalBlock"),
            entry(block(reading(2)), own="M/2/IntervalBlock/1", up="M/2/IntervalBlock"),
            entry(element("ReadingType", uom=72, powerOfTenMultiplier=3), own="T/kilo"),
            entry(element("ReadingType", uom=72, flowDirection=19), own="T/reverse"),
            entry(element("MeterReading"), own="M/1", related=["M/1/IntervalBlock", "T/kilo"]),
            entry(element("MeterReading"), own="M/2", related=["T/reverse"]),
        )
    )
    assert [outcome.value for outcome in parsed(GreenButton(), path)] == [3_600_000_000]
    assert reasons(GreenButton(), path) == {2: "flow-direction"}


def meters(*blocks: tuple[str, str], places: Mapping[str, str] | None = None) -> str:
    """A feed of meters with a type each; blocks are of a meter."""
    names = sorted({name for name, _ in blocks})
    own = {name: f"{(places or {}).get(name, 'U/UsagePoint/1')}/MeterReading/{name}" for name in names}
    return feed(
        *(entry(element("ReadingType", **DELIVERED_WH), own=f"T/{name}") for name in names),
        *(entry(element("MeterReading"), own=own[name], related=[f"T/{name}"]) for name in names),
        *(entry(block(content), up=f"{own[name]}/IntervalBlock") for name, content in blocks),
    )


def test_of_two_meters_the_operator_chooses_one(file) -> None:
    path = file(meters(("1", reading(1)), ("2", reading(2)), ("1", reading(3, START + 900))))
    with pytest.raises(NotSuchFile, match=r"2 meters or channels \(U/UsagePoint/1/MeterReading/1, .*--meter"):
        outcomes(GreenButton(), path)
    chosen = GreenButton(meter="1")
    assert [outcome.value for outcome in parsed(chosen, path)] == [3_600_000, 10_800_000]
    assert reasons(chosen, path) == {2: "other-meter"}
    whole = GreenButton(meter="U/UsagePoint/1/MeterReading/2")
    assert [outcome.value for outcome in parsed(whole, path)] == [7_200_000]
    with pytest.raises(NotSuchFile, match="there are: U/UsagePoint/1/MeterReading/1"):
        outcomes(GreenButton(meter="3"), path)


def test_channels_that_take_turns_are_added_and_those_of_two_places_are_not(file) -> None:
    turns = [("on", reading(5)), ("off", reading(0)), ("off", reading(7, START + 900)), ("on", reading(0, START + 900))]
    zeros = [("on", reading(0, START + 1_800)), ("off", reading(0, START + 1_800))]
    path = file(meters(*turns, *zeros))
    assert [(p.start_ms // 1000 - START, p.value // 3_600_000) for p in parsed(GreenButton(), path)] == [
        (0, 5),
        (900, 7),
        (1_800, 0),
    ]
    assert len(outcomes(GreenButton(), path)) == 6
    assert "take turns" in notes(GreenButton(), path)[0]
    elsewhere = file(meters(*turns, places={"off": "U/UsagePoint/2"}))
    with pytest.raises(NotSuchFile, match="--meter"):
        outcomes(GreenButton(), elsewhere)


def test_a_reading_has_the_defaults_of_its_type_where_it_is_silent(file) -> None:
    said = {**DELIVERED_WH, "intervalLength": 1_800, "defaultQuality": 8}
    silent = f"<IntervalReading><timePeriod><start>{START}</start></timePeriod><value>2</value></IntervalReading>"
    found = parsed(GreenButton(), file(metered(said, silent, reading(1, START + 1_800, quality="17"))))
    assert [(outcome.interval_ms, outcome.quality) for outcome in found] == [(1_800_000, 0), (900_000, 1)]
    untold = file(metered(DELIVERED_WH, silent))
    assert reasons(GreenButton(), untold) == {1: "no-interval"}
    assert [outcome.interval_ms for outcome in parsed(GreenButton(interval_s=600), untold)] == [600_000]


def test_what_contradicts_itself_is_refused(file) -> None:
    twice = reading(1).replace("</value>", "</value><value>2</value>")
    assert reasons(GreenButton(), file(metered(DELIVERED_WH, twice))) == {1: "contradiction"}
    two = metered(DELIVERED_WH, reading(1)).replace("<uom>72</uom>", "<uom>72</uom><uom>38</uom>")
    with pytest.raises(NotSuchFile, match="two values of uom"):
        outcomes(GreenButton(), file(two))


def test_without_links_the_only_type_of_a_feed_or_document_applies(file) -> None:
    only = element("ReadingType", **DELIVERED_WH)
    assert len(parsed(GreenButton(), file(feed(entry(block(reading(1))), entry(only))))) == 1
    assert len(parsed(GreenButton(), file(f'<x xmlns="http://naesb.org/espi">{only}{block(reading(1))}</x>'))) == 1
    two = feed(entry(block(reading(1))), entry(only), entry(element("ReadingType", uom=119)))
    assert reasons(GreenButton(), file(two)) == {1: "no-type"}
    assert reasons(GreenButton(), file(block(reading(1)))) == {1: "no-type"}


def test_elements_outside_of_entries_belong_to_none(file) -> None:
    path = file(
        feed(
            entry(element("ReadingType", **DELIVERED_WH), own="T/1"),
            entry(element("ReadingType", uom=119), own="T/2"),
            entry(element("MeterReading"), own="M/1", related=["T/1"]),
            entry(block(reading(1)), up="M/1/IntervalBlock"),
            block(reading(2)),
        )
    )
    assert [outcome.value for outcome in parsed(GreenButton(), path)] == [3_600_000]
    assert reasons(GreenButton(), path) == {2: "no-type"}


def test_any_encoding_that_the_parser_knows_by_itself_is_read(file) -> None:
    text = metered(DELIVERED_WH, reading(5)).removeprefix('<?xml version="1.0"?>')
    for charset in ("UTF-16", "ISO-8859-1", "us-ascii"):
        declared = f'<?xml version="1.0" encoding="{charset}"?><!-- -->{text}'
        assert [outcome.value for outcome in parsed(GreenButton(), file(declared.encode(charset)))] == [18_000_000]


BOMB = '<!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
PARAMETER = '<!DOCTYPE f [<!ENTITY % a SYSTEM "http://127.0.0.1:9/"> %a;]>'
GOOD = metered(DELIVERED_WH, *(reading(n, START + 900 * n) for n in range(96)))


def declared(charset: str) -> str:
    return GOOD.replace('version="1.0"', f'version="1.0" encoding="{charset}"')


def in_content(text: str) -> str:
    return GOOD.replace("<content>", f"<content>{text}", 1)


UNSOUND: dict[str, tuple[str | bytes | Callable[[], str], str]] = {
    "entities in each other": (GOOD.replace("<feed", BOMB + "<feed").replace("<value>1<", "<value>&b;<"), "DOCTYPE"),
    "an external entity": (GOOD.replace("<feed", EXTERNAL + "<feed").replace("<value>1<", "<value>&a;<"), "DOCTYPE"),
    "a parameter entity": (GOOD.replace("<feed", PARAMETER + "<feed"), "DOCTYPE"),
    "an unknown entity": (GOOD.replace("<value>1<", "<value>&undefined;<"), "undefined entity"),
    "cut in a tag": (GOOD[: GOOD.rindex("<value>") + 4], "unclosed token"),
    "cut in a value": (GOOD[: GOOD.rindex("<value>") + 8], "no element found"),
    "a zero byte": (GOOD[:5000] + "\0" + GOOD[5000:], "not well-formed"),
    "zero bytes at the end": (GOOD.encode() + bytes(3), "not well-formed"),
    "not UTF-8": (in_content("\xff").encode("latin-1"), "not well-formed"),
    "a charset of many bytes": (declared("shift_jis"), "charset"),
    "a charset that is none": (declared("zip"), "charset"),
    "another charset than declared": (declared("utf-16"), "encoding"),
    "too deep": (in_content("<a>" * 100 + "</a>" * 100), "deep"),
    "a long text": (in_content("x" * (LONGEST_TEXT + 1)), "text"),
    "a long comment": (in_content("<!--" + "x" * 2 * LONGEST_MARKUP + "-->"), "comment"),
    "a long tag": (in_content("<a b='" + "x" * 2 * LONGEST_MARKUP + "'/>"), "tag"),
    "many links": (lambda: feed("".join(entry("", up=str(n)) for n in range(MOST_LINKS + 1))), "links"),
    "long links": (lambda: feed("".join(entry("", up=f"{n}" * 30_000) for n in range(10, 300))), "links"),
    "nothing": ("", "no element found"),
    "a table": ("measured_on,ac_power\n", "syntax error"),
    "a page": ("<html><body/></html>", "neither"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1000), "not well-formed"),
}
LARGE = {"many links"}
READINGS = amount(1_000, soak=8_000)


@pytest.mark.parametrize(
    ("content", "word"),
    [pytest.param(*case, id=name, marks=soak_only if name in LARGE else ()) for name, case in UNSOUND.items()],
)
def test_a_malformed_file_gives_no_reading_and_a_reason(file, content, word) -> None:
    path = file(content() if callable(content) else content)
    with pytest.raises(NotSuchFile, match=word) as refused:
        outcomes(GreenButton(), path)
    assert str(refused.value).startswith("usage.xml: ")


def test_no_reading_of_a_cut_file_is_sent(file) -> None:
    writer = None
    with pytest.raises(NotSuchFile):
        _, writer, _ = imported(GreenButton(), file(GOOD[:-1]), register("meter"))
    assert writer is None
    report, _, _ = imported(GreenButton(), file(GOOD), register("meter"), source="meter")
    assert report.readings == 96


@soak
def test_a_large_file_and_an_endless_comment_need_little_memory(file) -> None:
    many = file(metered(DELIVERED_WH, *(reading(n, START + 900 * n) for n in range(READINGS))))
    assert many.stat().st_size > 100 * READINGS

    def count() -> None:
        assert sum(1 for _ in GreenButton().read(many)) == READINGS

    assert peak_bytes(count) < 900_000
    endless = file(GOOD.replace("<content>", "<content><!--" + "x" * 4_000_000 + "-->", 1))

    def refuse() -> None:
        with pytest.raises(NotSuchFile):
            outcomes(GreenButton(), endless)

    assert peak_bytes(refuse) < 3_000_000


def test_the_time_is_seconds_since_1970(file) -> None:
    [found] = parsed(GreenButton(), file(metered(DELIVERED_WH, reading(1))))
    assert datetime.fromtimestamp(found.start_ms / 1000, UTC) == datetime(2012, 3, 1, 5, tzinfo=UTC)
