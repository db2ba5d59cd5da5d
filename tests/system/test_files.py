"""Real files through Kafka: what the operator sees equals what independent code finds in the files, cell by cell."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from tests.system.command import Command
from tests.system.streams import city_file

pytestmark = pytest.mark.services

DATA = Path(__file__).parents[3] / "shared/data/streams"
NEW_YORK = ZoneInfo("America/New_York")
MELBOURNE = ZoneInfo("Australia/Melbourne")
SHORT_TON = Fraction("907184.74")
HEADER = "source,metric,district,contributor,class,valid_from,valid_to\n"
ESPI = "{http://naesb.org/espi}"

BOTH = "a + b"
"""The area of a metric with too few contributors for two."""

OUTCOMES = ("readings", "aggregated", "dead", "duplicate", "late", "rejected", "open", "lost")

Key = tuple[str, str, str, str]
"""Name of the import, area, class and beginning of the window."""
Cells = dict[Key, tuple[int, int]]
"""Value in the smallest unit and number of readings."""


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    path = city_file(tmp_path, city)
    path.write_text(re.sub(r'zone = ".*"', 'zone = "America/New_York"', path.read_text()))
    return Command(path, kafka, database_url, tmp_path)


def hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day(moment: datetime) -> datetime:
    return moment.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)


def sums(window: Callable[[datetime], datetime], rows: Iterable[tuple[str, str, datetime, int]], name: str) -> Cells:
    """Rows are district, class, time and amount."""
    found: dict[Key, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for area, class_, moment, amount in rows:
        key = (name, area, class_, window(moment).astimezone(UTC).isoformat())
        found[key] = (found[key][0] + amount, found[key][1] + 1)
    return dict(found)


def means_of_last(rows: Iterable[tuple[str, str, str, datetime, int]], name: str) -> Cells:
    """Rows are source, district, class, time and level."""
    last: dict[Key, dict[str, tuple[datetime, int]]] = defaultdict(dict)
    count: dict[Key, int] = defaultdict(int)
    for source, area, class_, moment, level in rows:
        key = (name, area, class_, hour(moment).isoformat())
        count[key] += 1
        if source not in last[key] or last[key][source][0] < moment:
            last[key][source] = (moment, level)
    return {
        key: (round(Fraction(sum(level for _, level in sources.values()), len(sources))), count[key])
        for key, sources in last.items()
    }


def cells(command: Command, metric: str) -> Cells:
    """What `sistercity query` prints. Areas of the test's city are single districts, or both."""
    rows = list(csv.DictReader(io.StringIO(command("query", metric))))
    found = {
        (row["topic"].split(".")[-2], row["area_name"], row["class"], row["window_start"]): (
            int(row["value"]),
            int(row["readings"]),
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def dsny_class(stream: str) -> str:
    return {"REFUSE": "residual", "PAPER": "recycling", "MGP": "recycling"}.get(stream, "organic")


DSNY_STREAMS = ("REFUSE", "PAPER", "MGP", "RESORGANICS", "SCHOOLORGANIC", "LEAVESORGANIC", "XMASTREE")


def dsny_rows() -> list[tuple[str, str, datetime, int]]:
    """Source, class, month and grams."""
    rows = []
    with (DATA / "waste/nyc_dsny_monthly_2021_2022.csv").open(newline="") as file:
        for month, borough, district, *rest in list(csv.reader(file))[1:]:
            begins = datetime.strptime(month, "%Y / %m").replace(tzinfo=NEW_YORK)
            for stream, tons in zip(DSNY_STREAMS, rest, strict=False):
                if tons:
                    grams = round(Fraction(tons) * SHORT_TON)
                    rows.append((f"{borough} {district}/{stream}", dsny_class(stream), begins, grams))
    return rows


def wheel_rows() -> list[tuple[str, datetime, int]]:
    """Source, day and grams."""
    rows = []
    with (DATA / "waste/trashwheel.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            month, number, year = row["Date"].split("/")
            begins = datetime(int(year[-2:]) + 2000, int(month), int(number), tzinfo=NEW_YORK)
            if (begins.strftime("%B").lower(), f"{begins:%Y}") == (row["Month"].lower(), row["Year"]):
                rows.append((row["ID"], begins, round(Fraction(row["Weight"]) * SHORT_TON)))
    return rows


def solar_rows() -> list[tuple[datetime, int]]:
    with (DATA / "energy/serf_east_15min_ac_power.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row][1:]
    return [(datetime.fromisoformat(when), int(Fraction(watts) * 900_000)) for when, watts in rows]


def green_button_rows(path: Path) -> list[tuple[datetime, int]]:
    rows = []
    for reading in ElementTree.parse(path).iter(f"{ESPI}IntervalReading"):
        start = reading.findtext(f"{ESPI}timePeriod/{ESPI}start")
        rows.append((datetime.fromtimestamp(int(start), UTC), int(reading.findtext(f"{ESPI}value")) * 3_600_000))
    return rows


def bin_rows(documents: Iterable[Mapping], zone: tzinfo = MELBOURNE) -> list[tuple[str, datetime, int]]:
    """Source, time and hundredths of a percent, without blind sensors."""
    return [
        (
            str(bin_["serial_num"]),
            datetime.fromisoformat(bin_["timestamp"]).replace(tzinfo=zone),
            bin_["fill_lvl"] * 1000,
        )
        for document in documents
        for bin_ in (feature["properties"] for feature in document["features"])
        if not (bin_["status"] == "ALERT" and bin_["fill_lvl"] == 0)
    ]


def uplink_rows(paths: Iterable[Path], depth: int) -> list[tuple[str, datetime, int]]:
    rows = []
    for path in paths:
        published = json.loads(path.with_name(path.name.replace("payload", "result")).read_text())
        result = published[0] if isinstance(published, list) else published
        device = result["attributes"].get("eui") or result["deviceName"].split()[-1]
        [telemetry] = result["telemetry"]
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=telemetry["ts"])
        rows.append((device, moment, round(Fraction(10_000 * (depth - telemetry["values"]["distance"]), depth))))
    return rows


def write_register(path: Path, sources: Iterable[tuple[str, str, str]]) -> Path:
    """Sources are metric, id and class; in turn they lie in district a and in district b."""
    lines = [
        f"{name},{metric},{'ab'[number % 2]},of-{name},{class_},2006-01-01,\n"
        for number, (metric, name, class_) in enumerate(sources)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


def districts(register: Path) -> Mapping[tuple[str, str], str]:
    with register.open(newline="") as file:
        return {(row["metric"], row["source"]): row["district"] for row in csv.DictReader(file)}


COASTAL = DATA / "energy/cew821_sample_greenbutton_data.xml"
FRONT = DATA / "energy/openespi_test_usage_data_01.xml"
SNAPSHOTS = sorted((DATA / "waste/wyndham_smartbins").glob("*.geojson"))
UPLINKS = sorted((DATA / "waste/lorawan_uplinks").glob("**/payload*.json"))


def import_every_file(command: Command) -> list[str]:
    """Send every real file as history; the first line that each import prints, without what it names."""
    # The imports of one name go into topics of different datasets: a second one into the same topic would be late.
    one, two, three = ("--name", "one"), ("--name", "two"), ("--name", "three")
    solar = DATA / "energy/serf_east_15min_ac_power.csv"
    devices = sorted({device for device, _, _ in uplink_rows(UPLINKS, 3_000)})
    depths = [text for device in devices for text in ("--depth-mm", f"{device}=3000")]
    said = [
        command("ingest", "solar", str(solar), "--source", "roof", "--unit", "W", *one),
        command("ingest", "smart-bins", *map(str, reversed(SNAPSHOTS)), "--zone", "Australia/Melbourne", *one),
        command("ingest", "trash-wheel", str(DATA / "waste/trashwheel.csv"), *one),
        command("ingest", "green-button", str(COASTAL), "--source", "coastal", *two),
        command("ingest", "lorawan", *map(str, UPLINKS), *depths, *two),
        command("ingest", "dsny", str(DATA / "waste/nyc_dsny_monthly_2021_2022.csv"), *two),
        command("ingest", "green-button", str(FRONT), "--source", "front", *three),
    ]
    return [lines.splitlines()[0].split(": ", 1)[1] for lines in said]


@pytest.mark.skipif(not DATA.exists(), reason="the shared data does not lie beside this checkout")
def test_every_real_file_is_exact_as_history(command, tmp_path):
    bins = bin_rows(json.loads(path.read_text()) for path in SNAPSHOTS)
    devices = uplink_rows(UPLINKS, 3_000)
    wheels, tonnage, roof = wheel_rows(), dsny_rows(), solar_rows()
    assert (len(SNAPSHOTS), len(UPLINKS), len(bins)) == (3, 6, 87)
    assert (len(wheels), len(tonnage), len(roof)) == (989, 4_379, 10_000)

    register = write_register(
        tmp_path / "register.csv",
        [
            *(("energy.import", name, "residential") for name in ("coastal", "front")),
            ("energy.solar", "roof", "commercial"),
            *(("waste.fill", name, "residual") for name in sorted({row[0] for row in (*bins, *devices)})),
            *(("waste.collected", name, "residual") for name in sorted({row[0] for row in wheels})),
            *(("waste.tonnage", name, class_) for name, class_ in sorted({row[:2] for row in tonnage})),
        ],
    )
    command("register", "load", str(register))
    assert import_every_file(command) == [
        "10000 of 10000 lines sent; refused: none",
        "87 of 96 bins sent; refused: 9 sensor-fault",
        "989 of 993 lines sent; refused: 4 contradiction",
        "362 of 362 interval readings sent; refused: none",
        "6 of 6 uplinks sent; refused: none",
        "4379 of 9107 amounts sent; refused: none; 4728 not-collected",
        "96 of 96 interval readings sent; refused: none",
    ]
    for name in ("one", "two", "three"):
        command("process", "--history", name, "--until-caught-up")
    # Customers, plants, wheels and the rounds of organic waste are too few for areas of their own; containers are not.
    place = districts(register)
    of_bins, of_devices = (
        [(name, place["waste.fill", name], "residual", when, level) for name, when, level in rows]
        for rows in (bins, devices)
    )
    of_rounds = [(BOTH, class_, month, grams) for _, class_, month, grams in tonnage]
    assert cells(command, "energy.import") == {
        **sums(hour, ((BOTH, "residential", *row) for row in green_button_rows(COASTAL)), "two"),
        **sums(hour, ((BOTH, "residential", *row) for row in green_button_rows(FRONT)), "three"),
    }
    assert cells(command, "energy.solar") == sums(hour, ((BOTH, "commercial", *row) for row in roof), "one")
    assert cells(command, "waste.fill") == {**means_of_last(of_bins, "one"), **means_of_last(of_devices, "two")}
    assert cells(command, "waste.collected") == sums(
        day, ((BOTH, "residual", when, grams) for _, when, grams in wheels), "one"
    )
    assert cells(command, "waste.tonnage") == sums(day, of_rounds, "two")  # months begin with a day
    assert_account(command, sent=10_000 + 87 + 989 + 362 + 6 + 4_379 + 96)


def assert_account(command, sent):
    status = json.loads(command("status", "--json"))
    account = {outcome: sum(stream["account"][outcome] for stream in status["streams"]) for outcome in OUTCOMES}
    assert account == {"readings": sent, "aggregated": sent} | dict.fromkeys(OUTCOMES[2:], 0)
    assert sum(stream["acknowledged"]["readings"] for stream in status["streams"]) == sent
    assert status["refused"] == {"contradiction": 4, "sensor-fault": 9}


def snapshot(moment: datetime, levels: Mapping[int, int]) -> dict:
    """A made-up snapshot on the clock of UTC; a level of 0 is one of a blind sensor."""
    features = [
        {
            "type": "Feature",
            "properties": {
                "serial_num": serial,
                "fill_lvl": level,
                "timestamp": f"{moment:%Y-%m-%dT%H:%M}",
                "status": "NOT_READY" if level else "ALERT",
            },
        }
        for serial, level in levels.items()
    ]
    return {"type": "FeatureCollection", "features": features}


def snapshots_before(now: datetime) -> list[dict]:
    """Made-up snapshots of 64 bins, the last of them at `now`."""
    moments = [now - timedelta(minutes=minutes) for minutes in (290, 260, 175, 0)]
    return [
        snapshot(moment, {serial: (serial * (number + 3)) % 11 for serial in range(1, 65)})
        for number, moment in enumerate(moments)
    ]


def usage(begins: datetime, quarters: int) -> str:
    """A made-up Green Button file of quarter hours, in steps of a hundredth of a watt-hour."""
    readings = "".join(
        f"<IntervalReading><timePeriod><duration>900</duration><start>{round(begins.timestamp()) + 900 * n}</start>"
        f"</timePeriod><value>{n * 7919 % 1000}</value></IntervalReading>"
        for n in range(quarters)
    )
    return (
        '<x xmlns="http://naesb.org/espi"><ReadingType><uom>72</uom><powerOfTenMultiplier>-2</powerOfTenMultiplier>'
        f"</ReadingType><IntervalBlock>{readings}</IntervalBlock></x>"
    )


def test_files_of_today_go_into_the_running_streams_and_close_no_window_by_themselves(command, tmp_path):
    now = hour(datetime.now(UTC))
    documents = snapshots_before(now)
    paths = [tmp_path / f"bins-{number}.geojson" for number in range(4)]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    bins = bin_rows(documents, UTC)
    meter = tmp_path / "usage.xml"
    meter.write_text(usage(now - timedelta(hours=5), 20))
    register = write_register(
        tmp_path / "register.csv",
        [
            *(("waste.fill", str(serial), ("residual", "recycling")[serial // 2 % 2]) for serial in range(1, 65)),
            ("energy.import", "meter", "residential"),
        ],
    )
    command("register", "load", str(register))
    said = command("ingest", "smart-bins", *map(str, reversed(paths)), "--zone", "UTC")
    assert said.endswith("next: sistercity process\n")
    command("ingest", "green-button", str(meter), "--source", "meter")
    command("process", "--until-caught-up")

    # An hour's window closes when something an hour later than its end was seen.
    place = districts(register)
    kinds = ("residual", "recycling")
    rows = [(name, place["waste.fill", name], kinds[int(name) // 2 % 2], when, level) for name, when, level in bins]
    closed = [row for row in rows if hour(row[3]) + timedelta(hours=2) <= now]
    found = cells(command, "waste.fill")
    assert found == means_of_last(closed, "fill-levels")
    assert len({key[1:3] for key in found}) == 4
    energy = [
        (now - timedelta(hours=5) + timedelta(minutes=15 * n), n * 7919 % 1000 * 36_000) for n in range(20)
    ]  # fmt: skip
    over = [(BOTH, "residential", *row) for row in energy if hour(row[0]) + timedelta(hours=2) < now]
    assert cells(command, "energy.import") == sums(hour, over, "readings")

    accounts = {
        stream["topic"].split(".", 1)[1]: stream["account"]
        for stream in json.loads(command("status", "--json"))["streams"]
    }
    for dataset, readings, aggregated in (
        ("waste.fill-levels", len(rows), len(closed)),
        ("energy.readings", 20, len(over)),
    ):
        account = accounts[f"{dataset}.v1"]
        assert (account["readings"], account["aggregated"]) == (readings, aggregated)
        assert account["open"] == readings - aggregated > 0


def test_a_file_that_is_not_what_it_should_be_is_one_sentence_and_sends_nothing(command, tmp_path):
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + usage(datetime(2020, 1, 1), 4))
    for arguments, word in (
        (("green-button", str(bomb), "--source", "meter"), "DOCTYPE"),
        (("smart-bins", str(bomb)), "not JSON"),
        (("lorawan", str(bomb), "--depth-mm", "1000"), "JSON object"),
        (("dsny", str(bomb)), "columns"),
        (("trash-wheel", str(bomb), "--zone", "Asia"), "time zone"),
        (("solar", str(bomb), "--source", "roof", "--name", "Not A Name"), "can't name"),
    ):
        said = command.fails("ingest", *arguments)
        assert said.startswith("sistercity: ")
        assert word in said
        assert "Traceback" not in said
    assert json.loads(command("status", "--json"))["refused"] == {}


def test_an_import_that_sends_nothing_fails_and_says_what_it_concluded_and_why(command, tmp_path):
    roof = tmp_path / "roof.csv"
    roof.write_text("measured_on,ac_power\n2026-06-01 00:00:00Z,5\n2026-06-01 00:05:00Z,5\n")
    assert "--unit" in command.fails("ingest", "solar", str(roof), "--source", "roof")
    ended = command.outcome("ingest", "solar", str(roof), "--source", "roof", "--unit", "kW", "--name", "roof")
    assert (ended.code, "no reading was sent" in ended.stderr) == (1, True)
    assert "0 of 2 lines sent; refused: 2 unknown-source" in ended.stdout
    assert "ac_power is in kW; an interval is 300 s, the spacing of its only two times" in ended.stdout
