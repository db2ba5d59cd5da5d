from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.codecs.device import DeviceError
from ingest.live.sources_file import DeviceContent, SourcesFileError, TableContent, form_of, load_sources

SOUND = """
[[folder]]
name = "head-end"
path = "drop"
profile = "fluvius"
settle_s = 30
pattern = "*.csv"

[[folder]]
name = "roof"
path = "roof"
profile = "solar"
source = "roof-1"
unit = "kW"
"""


@pytest.fixture
def file(tmp_path: Path):
    (tmp_path / "drop").mkdir()
    (tmp_path / "roof").mkdir()

    def write(text: str) -> Path:
        path = tmp_path / "sources.toml"
        path.write_text(text)
        return path

    return write


def test_a_sound_list_is_read(file, tmp_path: Path) -> None:
    first, second = load_sources(file(SOUND)).folders
    assert isinstance(first.content, TableContent) and isinstance(second.content, TableContent)
    assert (first.name, first.path, first.settle_ms, first.content.source) == (
        "head-end",
        tmp_path / "drop",
        30_000,
        None,
    )
    assert (second.content.source, second.content.said.unit, second.pattern, second.settle_ms) == (
        "roof-1",
        "kW",
        "*",
        10_000,
    )


def test_a_source_of_devices_is_read(file) -> None:
    first, _ = load_sources(file(SOUND.replace('profile = "fluvius"', 'devices = ["milesight-udl", "elsys"]'))).folders
    assert isinstance(first.content, DeviceContent)
    assert [device.name for device in first.content.devices] == ["milesight-udl", "elsys"]
    assert form_of(first.content, ZoneInfo("UTC"), lambda source, time_ms: 0).dataset == "waste.fill-levels"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[[folder]]", "[folder]", "must be a list of tables|is not TOML"),
        ("[[folder]]", "[[ftp]]", "the list has the unknown key ftp; it may have folder, http, listen, mqtt, poll"),
        ("settle_s", "settle", "number 1 has the unknown key settle; it may have"),
        ('"head-end"', '"Head End"', "it must be of small letters"),
        ('"head-end"', '"roof"', "two sources have the name roof"),
        ('path = "drop"', 'path = "roof"', "two sources have the path"),
        ('path = "drop"', 'path = "gone"', "there is no such folder"),
        ('source = "roof-1"', "", "number 2 needs source: its profile names none"),
        ("settle_s = 30", 'source = "x"', "has source, but its profile names it"),
        ("settle_s = 30", 'devices = "elsys"', "has devices, and profile, which does not go with it"),
        ('profile = "fluvius"', 'devices = ["elsys", "cayenne-lpp-energy"]', "must be of one dataset"),
        ('profile = "fluvius"', 'devices = "ELSYS"', "no such device is shipped"),
        ("settle_s = 30", 'zone = "Mars"', 'it must be a zone such as "Europe/Oslo"'),
        ("settle_s = 30", "settle_s = 0", "it must be a whole number from 1 to 86400"),
    ],
)
def test_what_is_wrong_is_named(file, old: str, new: str, words: str) -> None:
    with pytest.raises((SourcesFileError, DeviceError), match=words):
        load_sources(file(SOUND.replace(old, new)))


@pytest.mark.parametrize("page", ["push.md", "mqtt.md", "poll.md"])
def test_the_list_of_a_page_is_one(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    path = tmp_path / "sources.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    listed = load_sources(path)
    assert len(listed.every) == 1


@pytest.mark.parametrize(
    ("profile", "source", "types"),
    [
        ("bigbelly", "", ["application/json"]),
        ("datex2-v3-flow-minute", "", ["application/xml", "text/xml"]),
        ("dsmr-p1", "", ["text/plain"]),
        ("fluvius", "", ["text/csv"]),
        ("octopus", 'source = "m"\n', ["text/csv"]),
    ],
)
def test_a_sender_of_a_profile_posts_what_the_profile_reads(
    profile: str, source: str, types: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(
        f'[[http]]\nname = "push"\nprofile = "{profile}"\n{source}token_sha256 = "{"0" * 64}"\nsilent_h = 3\n'
    )
    listed = load_sources(path)
    assert list(listed.http[0].media_types) == types
    assert listed.silent_ms == {"push": 3 * 3_600_000}


MORE = """
[[http]]
name = "push"
readings = "energy.readings"
token_sha256 = "%s"
[listen]
port = 8444
[[mqtt]]
name = "topics"
host = "localhost"
topics = "a/#"
readings = "energy.readings"
""" % ("0" * 64)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"' + "0" * 64, '"' + "0" * 63, "each must be 64 hexadecimal digits"),
        ("[listen]", "[listen]\nhost = '0.0.0.0'", "tokens would go over the network in the clear"),
        ("[listen]", "[listen]\nhost = 'name'", "it must be an address"),
        ("[listen]", "[listen]\nkey_file = 'k'", "it needs cert_file"),
        ('"topics"', '"push"', "two sources have the name push"),
        ("topics =", "username = 'u'\ntopics =", "needs both username and password_file"),
        ("topics =", "username = 'u'\npassword_file = 'gone'\ntopics =", "cannot be read"),
        ("topics =", "group = 'a/b'\ntopics =", "it must be of small letters"),
        ("topics =", "in_flight = 0\ntopics =", "it must be a whole number"),
        ("topics =", "cert_file = 'c'\ntopics =", "a certificate without ca_file"),
        ('readings = "energy.readings"\ntoken', 'readings = "frames"\ntoken', "it must be one of"),
    ],
)
def test_what_is_wrong_of_senders_and_topics_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(MORE)
    load_sources(path)
    assert old in MORE
    path.write_text(MORE.replace(old, new))
    with pytest.raises(SourcesFileError, match=words):
        load_sources(path)


POLLED = """
[[poll]]
name = "broker"
url = "https://broker.example/entities?from={since}"
every_s = 60
begin_h = 2
readings = "energy.readings"
headers = { Accept = "application/ld+json" }
header_files = { Authorization = "secret" }
paging = "offset"
page_size = 500
"""


def test_a_polled_source_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(POLLED)
    (tmp_path / "secret").write_text("Bearer abc\n")
    [source] = load_sources(path).polls
    assert (source.address.every_s, source.address.paging, source.address.page_size) == (60, "offset", 500)
    assert (source.address.begin_s, source.address.limits.most) == (7_200, 64 << 20)
    assert source.address.headers_now() == {"Accept": "application/ld+json", "Authorization": "Bearer abc"}
    assert source.connecting("http://proxy:3128").proxy == "http://proxy:3128"
    assert "abc" not in repr(source) and "entities" not in repr(source)
    path.write_text(POLLED.replace("https://broker.example", "http://127.0.0.1:9000"))
    [source] = load_sources(path).polls
    assert source.connecting("http://proxy:3128").proxy is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("https:", "http:", "go over the network in the clear: its url begins with https://"),
        ("https:", "ftp:", "its url begins with https://"),
        ("https://", "https://user:pass@", "has a user or password in its url"),
        ("https://broker", "https:///broker", "needs url"),
        ("/entities?from=", "/", "outside the query"),
        ("{since}", "2026", "has begin_h, but no {since} in its url"),
        ("every_s = 60", "every_s = 0", "it must be a whole number from 1 to 86400"),
        ('"offset"', '"link"', "has page_size, which belongs to"),
        ('"offset"', '"pages"', "it must be one of link, none, offset"),
        ('Accept = "', 'Host = "', "has the header 'Host', which it may not set"),
        ('Accept = "', 'If-None-Match = "', "which it may not set"),
        ('"secret"', '"gone"', "there is no file"),
        ("every_s", "ca_file = 'secret'\nevery_s", "no PEM of certificates"),
        ("every_s", "key_file = 'secret'\nevery_s", "it needs cert_file"),
        ("every_s", "most_mb = 2000\nevery_s", "it must be a whole number from 1 to 1024"),
    ],
)
def test_what_is_wrong_of_a_polled_source_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "sources.toml"
    (tmp_path / "secret").write_text("Bearer abc")
    assert old in POLLED
    path.write_text(POLLED.replace(old, new))
    with pytest.raises(SourcesFileError, match=words):
        load_sources(path)
