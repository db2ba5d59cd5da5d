"""`sistercity ingest household` and the other file formats: files of the past, or of today, as sources."""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from node import lifecycle, wiring
from node.clock import now_ms

if TYPE_CHECKING:
    from ingest.cities import City
    from ingest.files.importing import Imported
    from ingest.files.reading import FileFormat
    from ingest.register import Register

_NAME = "a name for an import of the past; it becomes part of its topic"

Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")]
ImportName = Annotated[str | None, typer.Option(help=f"{_NAME}. Without it the readings go into today's stream")]
SourceId = Annotated[str, typer.Option(help="the source's id in the register")]
Zone = Annotated[str | None, typer.Option(help="zone of the file's times; default: the city's")]
Tons = Annotated[Literal["short", "metric"], typer.Option(help="what the file calls a ton")]
Power = Annotated[Literal["W", "kW"] | None, typer.Option(help="the unit of power, where the file does not say it")]
Interval = Annotated[
    int | None,
    typer.Option(min=1, help="the length of an interval in seconds, where neither the file nor its times say it"),
]

_TONS = {"short": "short ton", "metric": "t"}


def household(
    files: Files,
    source: SourceId,
    name: Annotated[str, typer.Option(help=_NAME)],
    zone: Annotated[str | None, typer.Option(help="zone of the file's times; default: Paris' winter time")] = None,
    unit: Power = None,
    interval_s: Interval = None,
) -> None:
    """Import one dwelling's measurements (UCI data set 235), as history."""
    table(files, "household", source, name, zone, unit, interval_s)


def green_button(
    files: Files,
    source: SourceId,
    name: ImportName = None,
    meter: Annotated[
        str | None, typer.Option(help="address of the MeterReading, or its last part, where there are several")
    ] = None,
    interval_s: Interval = None,
) -> None:
    """Import a customer's electricity from a Green Button file (ESPI)."""
    from ingest.files.green_button import GreenButton

    _import(lambda city, register: GreenButton(meter, interval_s), files, name, source)


def solar(
    files: Files,
    source: SourceId,
    name: ImportName = None,
    unit: Power = None,
    interval_s: Interval = None,
    column: Annotated[str | None, typer.Option(help="the column of the power; default: ac_power")] = None,
) -> None:
    """Import a solar plant's output from NREL's CSV (measured_on, ac_power)."""
    table(files, "solar", source, name, None, unit, interval_s, column)


def smart_bins(files: Files, name: ImportName = None, zone: Zone = None) -> None:
    """Import fill levels from Wyndham's GeoJSON snapshots. A source is a bin's serial number."""
    from ingest.files.smart_bins import SmartBins

    _import(lambda city, register: SmartBins(zone_named(zone or city.zone)), files, name)


def lorawan(
    files: Files,
    depth_mm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[EUI=]MM",
            help="from the sensor to the floor of the empty container, mm, where the register has no depth_mm; "
            "once for each device, or of the only one",
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="a device of the package, or the path of a device file (docs/devices.md); several: one each"),
    ] = None,
    name: ImportName = None,
) -> None:
    """Import readings from LoRaWAN uplinks by their devices' codecs. A source is a device's EUI in lower case."""
    from ingest.codecs.device import load_devices
    from ingest.files.lorawan import METRIC, LoraWan
    from ingest.register import facts_of
    from schemas.catalogue import catalogue

    depth, depths = _depths(depth_mm or [])
    devices = load_devices(device or ["milesight-udl"])
    metric = catalogue()[METRIC]
    _import(lambda city, register: LoraWan(depth, depths, facts_of(register, metric), devices), files, name)


def trash_wheel(files: Files, name: ImportName = None, zone: Zone = None, ton: Tons = "short") -> None:
    """Import the weighed dumpsters of Baltimore's trash wheels. A source is a wheel's ID."""
    table(files, "trash-wheel", None, name, zone, _TONS[ton])


def dsny(files: Files, name: ImportName = None, zone: Zone = None, ton: Tons = "short") -> None:
    """Import New York's monthly tonnage. A source is a district's stream: Queens 08/REFUSE."""
    table(files, "dsny", None, name, zone, _TONS[ton])


def table(
    files: Files,
    profile: Annotated[str, typer.Option(help="a profile of the package (docs/profiles.md), or a path")],
    source: Annotated[str | None, typer.Option(help="the source's id, where the profile leaves it to you")] = None,
    name: ImportName = None,
    zone: Annotated[str | None, typer.Option(help="zone of the file's times; default: the profile's")] = None,
    unit: Annotated[str | None, typer.Option(help="the unit of the values, where the profile has several")] = None,
    interval_s: Interval = None,
    column: Annotated[str | None, typer.Option(help="the column of the values; default: the profile's")] = None,
) -> None:
    """Import tables of any kind, by a profile: a TOML file that describes them (docs/profiles.md)."""
    from ingest.tables.profile import Said
    from ingest.tables.profile_file import load_profile
    from ingest.tables.table import Table

    loaded = load_profile(profile)
    if loaded.source is not None and source is not None:
        raise wiring.CommandError(f"--source: the profile {loaded.name} takes sources from the file")
    if loaded.source is None and source is None:
        raise wiring.CommandError(f"--source: the profile {loaded.name} names no source, so say its id in the register")
    said = Said(None if zone is None else zone_named(zone).key, unit, _milliseconds(interval_s), column)
    _import(lambda city, register: Table(loaded, said, zone_named(city.zone)), files, name, source)


def zone_named(name: str) -> ZoneInfo:
    """An IANA zone. Raises `wiring.CommandError` for a name that is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # absent; a folder of zones such as "Asia"; a path such as "../x"
        raise wiring.CommandError(f"the time zone {name!r} is not known") from None


def _milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1_000


def _depths(said: list[str]) -> tuple[int | None, Mapping[str, int]]:
    """The depth without a device, and those by device."""
    depths: dict[str, int] = {}
    for text in said:
        device, _, depth = text.rpartition("=")
        if not (depth.isascii() and depth.isdigit() and 0 < int(depth) <= 100_000):
            raise wiring.CommandError(f"--depth-mm {text}: is neither MM nor EUI=MM, from 1 to 100000 mm")
        if depths.setdefault(device.strip().lower(), int(depth)) != int(depth):
            raise wiring.CommandError(f"--depth-mm {text}: contradicts another depth")
    return depths.pop("", None), depths


def _import(
    form_for: "Callable[[City, Register], FileFormat]", files: list[Path], name: str | None, source: str | None = None
) -> None:
    """Send the files' readings into today's topic, or into one of history under this name, and print the outcome."""
    from ingest.feed import Feed, feeder_named
    from ingest.files.importing import FileImport, named
    from ingest.journal import StoreJournal
    from ingest.register import stored_register
    from ingest.routes import stored_routes
    from schemas.topics import history, live

    stop = lifecycle.start("ingest")
    city, log = wiring.city(), wiring.log()
    with wiring.database("ingest") as connection:
        register = stored_register(connection, now_ms, source)
        form = form_for(city, register)
        try:
            topic = live(city.id, form.dataset) if name is None else history(city.id, form.dataset, name)
        except ValueError as error:
            raise wiring.CommandError(str(error)) from None
        wiring.ensure_topic(log, topic)
        journal = StoreJournal(connection, uuid.uuid4())
        writer = log.writer()
        routes = stored_routes(connection, city.id, form.dataset, now_ms) if name is None else None
        feed = Feed(writer, topic, journal, feeder_named("files", "/".join(named(files))), routes)
        imported = FileImport(feed, journal, register, now_ms, source, history=name is not None).run(form, files, stop)
        writer.close()
    for line in _in_words(topic, imported, form.noun):
        typer.echo(line)
    if not imported.complete:
        again = "import it again" if name is None else "import it again under another name"
        raise wiring.CommandError(f"stopped before the end; {again}")
    if not imported.readings:
        raise wiring.CommandError("no reading was sent")
    typer.echo(f"next: sistercity process{'' if name is None else f' --history {name} --until-caught-up'}")


def _in_words(topic: str, imported: "Imported", noun: str) -> list[str]:
    """The outcome, then what is to be known of the files, then what each reason means."""
    from ingest.files.reasons import WHAT_TO_DO

    refused = ", ".join(f"{count} {reason}" for reason, count in imported.refused.items()) or "none"
    empty = "".join(f"; {count} {reason}" for reason, count in imported.empty.items())
    return [
        f"{topic}: {imported.readings} of {imported.read} {noun} sent; refused: {refused}{empty}",
        *(f"  {note}" for note in imported.notes),
        *(f"  {reason}: {WHAT_TO_DO[reason]}" for reason in imported.refused if reason in WHAT_TO_DO),
    ]
