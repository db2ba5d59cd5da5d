"""The lists of docs/poll.md as an operator runs them, against a server that is hostile now and then: to the cells."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.ingest.tables.test_xml_rows import LAUGHS
from tests.polled_server import PolledServer, polled_server
from tests.system.command import Command
from tests.system.streams import city_file
from tests.waiting import until

pytestmark = pytest.mark.services

PAGE = Path(__file__).parents[2] / "docs/poll.md"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
EARLIER, LATER = NOW - timedelta(hours=6), NOW - timedelta(hours=2)
CONTAINERS = "ngsi-ld/v1/entities?type=WasteContainer&attrs=fillingLevel&count=true&limit=1&offset={}"
METERS, COUNTERS = "ngsi-ld/v1/temporal/entities", "measured-data.xml.gz"
REGISTER = """source,metric,district,contributor,class,valid_from,valid_to
urn:bin:0,waste.fill,a,bin-0,residual,2026-01-01,
urn:bin:1,waste.fill,a,bin-1,residual,2026-01-01,
urn:meter,energy.import,a,customer,residential,2026-01-01,
A10/1,traffic.counts,a,A10,any,2026-01-01,
"""
HOSTILE = (
    ("document type", (LAUGHS + "]><site>&l9;</site>").encode()),
    ("document type", b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><siteMeasurements id="&f;"/>'),
    ("more than 64 deep", b"<a>" * 1_000_000),
    ("not well-formed", b'<?xml version="1.0" encoding="utf-8"?><siteMeasurements id="\xff\xfe"/>'),
    ("no element siteMeasurements", b"<html><body>log in</body></html>"),
    ("more than 16 MB", gzip.compress(b"\0" * (64 << 20))),
    ("packed twice", gzip.compress(gzip.compress(b"<siteMeasurements/>"))),
)
"""What is said in the log, and what is served."""


@pytest.fixture
def command(kafka, database_url, city, tmp_path):
    path = city_file(tmp_path, city)
    path.write_text(re.sub(r'zone = ".*"', 'zone = "UTC"', path.read_text()))
    return Command(path, kafka, database_url, tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PolledServer]:
    with polled_server(tmp_path / "served") as running:
        yield running


def lists(url: str) -> str:
    """The lists of the page's broker, meters and counters, for a server of this machine that is asked each second."""
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL) if ".example/" in block]
    text = re.sub(r"https://(broker|traffic)\.example/", url, "".join(blocks[1:]))
    changed = {"every_s": 1, "page_size": 1, "most_mb": 16}
    for key, value in changed.items():
        text, count = re.subn(rf"{key} = \d+", f"{key} = {value}", text)
        assert count
    return text


def serve(server: PolledServer, time: datetime, levels: tuple[float, float], rate: int) -> str:
    """Everything as of a time; returns the ETag of the counts."""
    said = f"{time:%Y-%m-%dT%H:%M:%SZ}"
    for number, level in enumerate(levels):
        filled = {"type": "Property", "value": level, "observedAt": said}
        entity = {"id": f"urn:bin:{number}", "type": "WasteContainer", "fillingLevel": filled}
        server.serve(CONTAINERS.format(number), json.dumps([entity]), headers={"NGSILD-Results-Count": "2"})
    states = [
        {"type": "Property", "value": value, "observedAt": f"{time + timedelta(minutes=15 * step):%Y-%m-%dT%H:%M:%SZ}"}
        for step, value in enumerate((100, 100.25, 101))
    ]
    meter = {"id": "urn:meter", "type": "ThreePhaseAcMeasurement", "totalActiveEnergyImport": states}
    server.serve(METERS, json.dumps([meter]))
    site = f"""<site xmlns="u"><siteMeasurements><measurementSiteReference id="A10"/>
        <physicalQuantity index="1"><physicalQuantity><basicData><vehicleFlow><vehicleFlowRate>{rate}</vehicleFlowRate>
        </vehicleFlow></basicData></physicalQuantity></physicalQuantity>
        <measurementTimeDefault><timeValue>{said}</timeValue></measurementTimeDefault></siteMeasurements></site>"""
    server.serve(COUNTERS, gzip.compress(site.encode()), headers={"ETag": f'"{said}"'})
    return f'"{said}"'


def taken(database_url: str, source: str) -> list[str]:
    """Of each delivery of a source that is done, why it was not read."""
    with psycopg.connect(database_url) as connection:
        return [
            words
            for [words] in connection.execute(
                "SELECT words FROM arrivals WHERE source = %s ORDER BY done_at", (source,)
            )
        ]


def cells(command: Command, metric: str) -> dict[str, int]:
    rows = csv.DictReader(io.StringIO(command("query", metric)))
    return {row["window_start"]: int(row["value"]) for row in rows if int(row["value"])}


def test_what_the_page_lists_comes_to_the_cells_and_hostile_answers_harm_nothing(
    command, server, database_url, tmp_path
):
    sources, register, log = tmp_path / "sources.toml", tmp_path / "register.csv", tmp_path / "run.log"
    sources.write_text(lists(server.url))
    register.write_text(REGISTER)
    command("register", "load", str(register))
    serve(server, EARLIER, (0.5, 0.25), 720)
    examined = command.outcome("doctor", "--sources", str(sources)).stdout
    assert len(re.findall(r"source \w+ .*it answers with [\d,]+ bytes", examined)) == 3
    with command.running(log, "ingest", "run", str(sources)) as process:
        for source, deliveries in (("broker", 2), ("meters", 1), ("counters", 1)):
            until(lambda: len(taken(database_url, source)) == deliveries, source, pause_s=0.3)  # noqa: B023
        for words, content in HOSTILE:
            before = log.read_text().count(words)
            server.serve(COUNTERS, content)
            until(lambda: log.read_text().count(words) > before, words, pause_s=0.3)  # noqa: B023
        server.serve(METERS, b"[" * 1_000_000)
        until(lambda: "nested too deeply" in log.read_text(), "deep JSON is refused", pause_s=0.3)
        server.serve(METERS, '[{"id": "é"}]'.encode("latin-1"))
        until(lambda: "not in the character set" in log.read_text(), "another charset is refused", pause_s=0.3)
        peak_kb = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[0])
        etag = serve(server, LATER, (0.1, 0.1), 60)
        until(lambda: len(taken(database_url, "broker")) == 4, "the next levels", pause_s=0.3)
        asked = [request.headers.get("if-none-match") for request in server.requests()]
        until(
            lambda: etag in [r.headers.get("if-none-match") for r in server.requests()], "the next counts", pause_s=0.3
        )
        until(lambda: taken(database_url, "meters")[-1] == "", "the next states", pause_s=0.3)
        process.terminate()
        assert process.wait(60) == 0
    assert f'"{EARLIER:%Y-%m-%dT%H:%M:%SZ}"' in asked
    assert peak_kb < 600_000
    assert [bool(words) for words in taken(database_url, "counters")] == [False, *[True] * 5, False]
    command("process", "--until-caught-up")
    hour = EARLIER.isoformat()
    assert cells(command, "traffic.counts") == {hour: 12}
    assert cells(command, "waste.fill") == {hour: 3_750}
    assert cells(command, "energy.import") == {hour: 3_600_000_000}
