"""The sample of docs/devices.md, as it stands there."""

import re
from pathlib import Path

from ingest.codecs.device import load_devices, shipped_devices
from ingest.files.lorawan import LoraWan
from ingest.files.reading import Parsed
from tests.ingest.files.imports import notes, outcomes, reasons

PAGE = Path(__file__).parents[3] / "docs/devices.md"


def test_the_sample_of_the_page_gives_what_the_page_says(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    (tmp_path / "vendor.js").write_text(blocks["js"])
    (tmp_path / "bins.toml").write_text(blocks["toml"])
    (tmp_path / "uplinks.ndjson").write_text(blocks["json"])
    form = LoraWan(4_000, devices=load_devices([tmp_path / "bins.toml"]))
    path = tmp_path / "uplinks.ndjson"
    assert [
        (uplink.source, uplink.value, uplink.quality) for uplink in outcomes(form, path) if isinstance(uplink, Parsed)
    ] == [
        ("70b3d50000000001", 7_500, 1),
        ("70b3d50000000001", 7_500, 0),
    ]
    assert reasons(form, path) == {3: "codec"}
    assert notes(form, path) == ["vendor.js says: a payload has three bytes"]
    form.devices[0].codec.close()


def test_the_page_names_what_is_shipped() -> None:
    assert [name for name in shipped_devices() if f"`{name}`" not in PAGE.read_text()] == []
