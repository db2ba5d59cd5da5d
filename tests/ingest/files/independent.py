"""The amounts of small files, computed by code that shares nothing with the importers, and the files themselves.

An amount is exact, in the metric's smallest unit. Each reader raises any exception for a file that it cannot read.
"""

import base64
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from ingest.files.green_button import GreenButton
from ingest.files.lorawan import LoraWan
from ingest.files.reading import FileFormat
from ingest.files.smart_bins import SmartBins
from tests.ingest.files import profiled

NEW_YORK = ZoneInfo("America/New_York")
SHORT_TON = Fraction("907184.74")
START = datetime(2026, 6, 1, tzinfo=UTC)
DEVICES = ("24e1247100000002", "24e1247100000003")
DEPTH_MM = 2_500
ESPI = "{http://naesb.org/espi}"


@dataclass(frozen=True)
class Kind:
    """One importer: a file of amounts in the file's own unit, and the amounts of such a file in smallest units."""

    name: str
    form: Callable[[], FileFormat]
    sources: Sequence[str]
    write: Callable[[Sequence[str], int], bytes]
    """From decimal numbers, and by how many intervals all times are shifted."""
    read: Callable[[bytes], Sequence[int]]
    smallest: str
    """What must be a step of the decimal numbers so that each amount is a whole number of smallest units."""
    most: int
    """The greatest number that the file may hold."""


def table(content: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    text = content.decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("no text")
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    names = [name.strip().casefold() for name in lines[0]]
    return [dict(zip(names, line, strict=True)) for line in lines[1:] if line]


def whole(amount: Fraction) -> int:
    return round(amount)


def times(count: int, shift: int, step: timedelta) -> list[datetime]:
    return [START + (number + shift) * step for number in range(count)]


def solar(numbers: Sequence[str], shift: int) -> bytes:
    when = times(len(numbers), shift, timedelta(minutes=5))
    lines = [f"{time:%Y-%m-%d %H:%M:%S}+00:00,{number}\n" for time, number in zip(when, numbers, strict=True)]
    return ("measured_on,ac_power_kw\n" + "".join(lines)).encode()


def read_solar(content: bytes) -> list[int]:
    return [whole(Fraction(row["ac_power_kw"]) * 300 * 1_000_000) for row in table(content)]


def household(numbers: Sequence[str], shift: int) -> bytes:
    when = times(len(numbers), shift, timedelta(minutes=30))
    lines = [
        f"{time.day}/{time.month}/{time.year};{time:%H:%M:%S};{number};240.0\n"
        for time, number in zip(when, numbers, strict=True)
    ]
    return ("Date;Time;Global_active_power;Voltage\n" + "".join(lines)).encode()


def read_household(content: bytes) -> list[int]:
    return [whole(Fraction(row["global_active_power"]) * 1_800 * 1_000_000) for row in table(content, ";")]


def green_button(numbers: Sequence[str], shift: int) -> bytes:
    when = times(len(numbers), shift, timedelta(minutes=15))
    readings = "".join(
        f"<IntervalReading><timePeriod><duration>900</duration><start>{int(time.timestamp())}</start></timePeriod>"
        f"<value>{number}</value></IntervalReading>\n"
        for time, number in zip(when, numbers, strict=True)
    )
    said = (
        "<uom>72</uom><powerOfTenMultiplier>0</powerOfTenMultiplier><flowDirection>1</flowDirection>"
        "<accumulationBehaviour>4</accumulationBehaviour><commodity>1</commodity><intervalLength>900</intervalLength>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f'<entry><link rel="self" href="T/1"/><content><ReadingType xmlns="http://naesb.org/espi">{said}</ReadingType>'
        '</content></entry>\n<entry><link rel="self" href="M/1"/><link rel="related" href="T/1"/>'
        '<content><MeterReading xmlns="http://naesb.org/espi"/></content></entry>\n'
        '<entry><link rel="up" href="M/1/IntervalBlock"/><content><IntervalBlock xmlns="http://naesb.org/espi">\n'
        f"{readings}</IntervalBlock></content></entry>\n</feed>\n"
    ).encode()


def read_green_button(content: bytes) -> list[int]:
    tree = ElementTree.fromstring(content)
    [said] = tree.iter(f"{ESPI}ReadingType")
    power = int(said.findtext(f"{ESPI}powerOfTenMultiplier") or 0)
    if said.findtext(f"{ESPI}uom") != "72":
        raise ValueError("not in Wh")
    amounts = []
    for reading in tree.iter(f"{ESPI}IntervalReading"):
        [value] = reading.iter(f"{ESPI}value")
        amounts.append(whole(Fraction((value.text or "").strip()) * 3_600_000 * Fraction(10) ** power))
    return amounts


def smart_bins(numbers: Sequence[str], shift: int) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {
                "serial_num": int(DEVICES[number % 2][-1]),
                "fill_lvl": int(level),
                "timestamp": f"{time:%Y-%m-%dT%H:%M}",
                "status": "READY",
            },
        }
        for number, (time, level) in enumerate(
            zip(times(len(numbers), shift, timedelta(minutes=30)), numbers, strict=True)
        )
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1).encode()


def read_smart_bins(content: bytes) -> list[int]:
    amounts = []
    for feature in json.loads(content)["features"]:
        said = feature["properties"]
        if isinstance(said["fill_lvl"], bool) or not isinstance(said["fill_lvl"], int | float):
            raise ValueError("no level")
        amounts.append(whole(Fraction(str(said["fill_lvl"])) * 1_000))
    return amounts


def lorawan(numbers: Sequence[str], shift: int) -> bytes:
    lines = []
    for number, (time, distance) in enumerate(
        zip(times(len(numbers), shift, timedelta(minutes=30)), numbers, strict=True)
    ):
        payload = bytes((1, 0x75, 90, 3, 0x82)) + int(distance).to_bytes(2, "little") + bytes((4, 0, 0))
        document = {
            "deviceInfo": {"devEui": DEVICES[number % 2]},
            "time": f"{time:%Y-%m-%dT%H:%M:%S}Z",
            "fPort": 85,
            "data": base64.b64encode(payload).decode(),
        }
        lines.append(json.dumps(document) + "\n")
    return "".join(lines).encode()


def read_lorawan(content: bytes) -> list[int]:
    amounts = []
    for line in content.splitlines():
        if not line.strip():
            continue
        document = json.loads(line)
        payload = base64.b64decode(document["data"], validate=True)
        if payload[:2] + payload[3:5] + payload[7:9] != bytes((1, 0x75, 3, 0x82, 4, 0)) or len(payload) != 10:
            raise ValueError("not as it was")
        distance = int.from_bytes(payload[5:7], "little")
        if not 0 < distance <= 10_000:
            raise ValueError("out of range")
        amounts.append(min(max(whole(Fraction(10_000 * (DEPTH_MM - distance), DEPTH_MM)), 0), 10_000))
    return amounts


def trash_wheel(numbers: Sequence[str], shift: int) -> bytes:
    lines = [
        f"mister,Mister,{number},{time:%B},{time.year},{time.month}/{time.day}/{time.year},{weight},18\n"
        for number, (time, weight) in enumerate(
            zip(times(len(numbers), shift, timedelta(days=2)), numbers, strict=True)
        )
    ]
    return ("ID,Name,Dumpster,Month,Year,Date,Weight,Volume\n" + "".join(lines)).encode()


def read_trash_wheel(content: bytes) -> list[int]:
    return [whole(Fraction(row["weight"].strip()) * SHORT_TON) for row in table(content)]


DSNY_COLUMNS = (
    *("REFUSETONSCOLLECTED", "PAPERTONSCOLLECTED", "MGPTONSCOLLECTED", "RESORGANICSTONS", "SCHOOLORGANICTONS"),
    *("LEAVESORGANICTONS", "XMASTREETONS", "OTHERORGANICSTONS"),
)
DSNY_STREAMS = ("REFUSE", "PAPER", "MGP", "RESORGANICS", "SCHOOLORGANIC", "LEAVESORGANIC", "XMASTREE", "OTHERORGANICS")


def dsny(numbers: Sequence[str], shift: int) -> bytes:
    lines = []
    for place in range(0, len(numbers), len(DSNY_COLUMNS)):
        tons = [*numbers[place : place + len(DSNY_COLUMNS)], *[""] * len(DSNY_COLUMNS)][: len(DSNY_COLUMNS)]
        month = (place // len(DSNY_COLUMNS) + shift) % 12 + 1
        lines.append(f"2025 / {month:02},Queens,08,{','.join(tons)},4\n")
    header = ",".join(("MONTH", "BOROUGH", "COMMUNITYDISTRICT", *DSNY_COLUMNS, "BOROUGH_ID"))
    return f"{header}\n{''.join(lines)}".encode()


def read_dsny(content: bytes) -> list[int]:
    amounts = []
    for row in table(content):
        for column in DSNY_COLUMNS:
            if tons := row[column.casefold()].strip():
                amounts.append(whole(Fraction(tons) * SHORT_TON))
    return amounts


UTC_ZONE = ZoneInfo("UTC")
KINDS = (
    Kind("solar", profiled.solar, ["source"], solar, read_solar, "0.000001", 10_000),
    Kind(
        "household",
        lambda: profiled.household(UTC_ZONE, "kW"),
        ["source"],
        household,
        read_household,
        "0.000001",
        10_000,
    ),
    Kind("green-button", GreenButton, ["source"], green_button, read_green_button, "0.01", 10_000),
    Kind("smart-bins", lambda: SmartBins(UTC_ZONE), ["2", "3"], smart_bins, read_smart_bins, "1", 10),
    Kind(
        "lorawan", lambda: LoraWan(depths=dict.fromkeys(DEVICES, DEPTH_MM)), DEVICES, lorawan, read_lorawan, "1", 9_000
    ),
    Kind("trash-wheel", lambda: profiled.trash_wheel(NEW_YORK), ["mister"], trash_wheel, read_trash_wheel, "0.01", 90),
    Kind(
        "dsny",
        lambda: profiled.dsny(NEW_YORK),
        [f"Queens 08/{name}" for name in DSNY_STREAMS],
        dsny,
        read_dsny,
        "0.01",
        9_000,
    ),
)
