"""The list of live sources: a TOML file."""

import re
import ssl
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from zoneinfo import ZoneInfo

from errors import OperatorError
from ingest.codecs.device import Device, load_devices
from ingest.files.lorawan import LoraWan
from ingest.files.reading import FileFormat
from ingest.live.answers import Connecting
from ingest.live.mqtt import MqttBroker
from ingest.live.poll_keys import POLL_KEYS, poll_address, poll_trust
from ingest.live.polled_pages import PollAddress
from ingest.live.readings import MOST_OF_A_BODY, SentReadings
from ingest.live.topics.avro_lines import AvroLines
from ingest.live.topics.keys import TOPIC_KEYS, AvroValues, TopicAddress, avro_values, topic_address
from ingest.live.topics.messages import TopicMessages, json_line
from ingest.tables.keys import TomlKeys, WrongKey
from ingest.tables.profile import Profile, Said
from ingest.tables.profile_file import load_profile
from ingest.tables.table import Table, json_columns
from ingest.tables.units import units_of
from schemas.catalogue import datasets, sent_in

_CONTENT = ("profile", "source", "zone", "unit", "interval_s", "column", "devices", "readings")
_HTTP = ("name", "token_sha256", "requests_per_s", "silent_h", *_CONTENT)
_MQTT = (
    *("name", "host", "port", "topics", "client_id", "group", "ca_file", "cert_file", "key_file", "username"),
    *("password_file", "in_flight", "session_days", "silent_h", "devices", "readings"),
)
_LIST = ("folder", "http", "mqtt", "poll", "topic", "listen")
_LISTEN = ("host", "port", "cert_file", "key_file", "behind_proxy")
_TOPIC = ("name", "silent_h", *TOPIC_KEYS, *_CONTENT)
_POLL = ("name", "silent_h", *POLL_KEYS, *_CONTENT)
_FOLDER = ("name", "path", "pattern", "settle_s", "silent_h", *_CONTENT)
_MOST_SOURCES = 1_000
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}", re.ASCII)


class SourcesFileError(OperatorError):
    """A list of sources that cannot be used; the message names the file, the source, and what is wrong."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """Content that is a table, by its profile. `source` is the id in the register, where the profile names none."""

    profile: Profile
    said: Said
    source: str | None


@dataclass(frozen=True, slots=True)
class DeviceContent:
    """Content that is uplinks of LoRaWAN devices, by their codecs."""

    devices: Sequence[Device]


@dataclass(frozen=True, slots=True)
class ReadingsContent:
    """Content that is readings in the JSON of docs/push.md, of the metrics of one dataset."""

    dataset: str


SourceContent = TableContent | DeviceContent | ReadingsContent


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A watched folder: files whose names match `pattern`, whole when they have not changed for `settle_ms`."""

    name: str
    path: Path
    content: SourceContent
    pattern: str
    settle_ms: int
    silent_ms: int
    """After how long without a delivery it is silent; 0 for never."""


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A sender that posts: SHA-256 of its tokens, and how many requests a second it may send."""

    name: str
    content: SourceContent
    tokens: Sequence[bytes]
    requests_per_s: int
    silent_ms: int

    @property
    def media_types(self) -> Sequence[str]:
        """What its bodies may be."""
        if isinstance(self.content, TableContent):
            profile = self.content.profile
            if profile.json is not None:
                return ("application/x-ndjson" if profile.json.lines else "application/json",)
            if profile.xml is not None:
                return ("application/xml", "text/xml")
            return ("text/plain",) if profile.telegrams else ("text/csv",)
        return ("application/json", "application/x-ndjson")


@dataclass(frozen=True, slots=True)
class MqttSource:
    """Topics of a broker; each message is one JSON object."""

    name: str
    content: SourceContent
    broker: MqttBroker
    silent_ms: int


@dataclass(frozen=True, slots=True)
class PollSource:
    """An address that is asked again and again."""

    name: str
    content: SourceContent
    address: PollAddress
    trusted: ssl.SSLContext
    silent_ms: int

    def connecting(self, proxy: str | None) -> Connecting:
        """How it is reached; `proxy` is for other machines."""
        return Connecting(self.trusted, None if self.address.is_local else proxy)


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A topic of a Kafka of the city's own; each message is one JSON object, or one record of Avro."""

    name: str
    content: SourceContent
    address: TopicAddress
    values: AvroValues | None
    silent_ms: int

    def messages(self, form: FileFormat) -> TopicMessages:
        """How its messages are read; `form` reads JSON, a document on each line."""
        if not isinstance(self.content, TableContent):
            return TopicMessages(form, json_line)
        profile, said = self.content.profile, self.content.said
        each = profile.json.each if profile.json is not None else ()
        avro = self.values and AvroLines(self.values.reader(), json_columns(profile, said), each)
        line = avro or json_line
        return TopicMessages(form, line, profile.streams.places if profile.streams else 1)


SourceEntry = FolderSource | HttpSource | MqttSource | PollSource | TopicSource


@dataclass(frozen=True, slots=True)
class Listen:
    """Where senders post to; `certificate` and `key` are files of TLS."""

    host: str = "127.0.0.1"
    port: int = 8444
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class SourcesList:
    """All that a list names."""

    folders: Sequence[FolderSource]
    http: Sequence[HttpSource]
    mqtt: Sequence[MqttSource]
    polls: Sequence[PollSource]
    topics: Sequence[TopicSource]
    listen: Listen

    @property
    def every(self) -> Sequence[SourceEntry]:
        """The sources of all kinds."""
        return [*self.folders, *self.http, *self.mqtt, *self.polls, *self.topics]

    @property
    def silent_ms(self) -> Mapping[str, int]:
        """After how long each source is silent, by name; 0 for never."""
        return {source.name: source.silent_ms for source in self.every}


def form_of(
    content: SourceContent, zone: ZoneInfo, depth: Callable[[str, int], int | None], *, each_line: bool = False
) -> FileFormat:
    """How content is read. `zone` is the city's; `depth` gives that of a container, as `LoraWan.registered` does.

    `each_line`: each line stands by itself, as messages do.
    """
    if isinstance(content, DeviceContent):
        return LoraWan(registered=depth, devices=content.devices, each_line=each_line)
    if isinstance(content, ReadingsContent):
        return SentReadings(content.dataset, None if each_line else MOST_OF_A_BODY, each_line=each_line)
    return Table(content.profile, content.said, zone, each_line=each_line)


def load_sources(path: Path) -> SourcesList:
    """Read and check a list of sources. Paths in it are relative to its folder. Raises `SourcesFileError` and
    `ingest.tables.profile_file.ProfileError`, `ingest.codecs.device.DeviceError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourcesFileError(f"{path}: cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourcesFileError(f"{path}: is not TOML: {error}") from None
    try:
        return _listed(
            TomlKeys("the list", document, ("folder", "http", "mqtt", "poll", "topic", "listen")), path.parent
        )
    except WrongKey as error:
        raise SourcesFileError(f"{path}: {error}") from None


def _listed(top: TomlKeys, beside: Path) -> SourcesList:
    folders = [_folder(keys, beside) for keys in top.tables("folder", _FOLDER)]
    http = [_http(keys, beside) for keys in top.tables("http", _HTTP)]
    mqtt = [_mqtt(keys, beside) for keys in top.tables("mqtt", _MQTT)]
    polls = [_poll(keys, beside) for keys in top.tables("poll", _POLL)]
    topics = [_topic(keys, beside) for keys in top.tables("topic", _TOPIC)]
    listen = top.table("listen", _LISTEN)
    listed = SourcesList(folders, http, mqtt, polls, topics, Listen() if listen is None else _listen(listen, beside))
    names = [source.name for source in listed.every]
    if not names:
        raise WrongKey("the list has no [[folder]], [[http]], [[mqtt]], [[poll]] or [[topic]]")
    if len(names) > _MOST_SOURCES:
        raise WrongKey(f"the list has more than {_MOST_SOURCES} sources; divide it")
    _distinct("name", names)
    _distinct("path", [str(source.path) for source in folders])
    _distinct("token_sha256", [token.hex() for source in http for token in source.tokens])
    if listen is not None and not http:
        raise WrongKey("[listen] is for sources of [[http]], and there is none")
    return listed


def _distinct(what: str, values: Sequence[str]) -> None:
    if twice := {value for value in values if values.count(value) > 1}:
        raise WrongKey(f"two sources have the {what} {twice.pop()}")


def _listen(keys: TomlKeys, beside: Path) -> Listen:
    host = keys.text("host", "127.0.0.1")
    files = [beside / keys.text(key) if key in keys else None for key in ("cert_file", "key_file")]
    if files[0] is None and files[1] is not None:
        raise keys.wrong("key_file", "it needs cert_file")
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        raise keys.wrong("host", "it must be an address, such as 0.0.0.0 for all") from None
    if not local and files[0] is None and not keys.flag("behind_proxy", default=False):
        words = "tokens would go over the network in the clear: set cert_file and key_file, or behind_proxy = true"
        raise keys.wrong("host", words)
    return Listen(host, keys.whole("port", 0, 65_535, 8_444), files[0], files[1] or files[0])


def _http(keys: TomlKeys, beside: Path) -> HttpSource:
    tokens = keys.texts("token_sha256")
    if not all(_SHA256.fullmatch(token) for token in tokens):
        raise keys.wrong("token_sha256", "each must be 64 hexadecimal digits: sistercity sources token")
    rate = keys.whole("requests_per_s", 1, 100_000, 1_000)
    digests = [bytes.fromhex(token) for token in tokens]
    return HttpSource(_name(keys), _content(keys, beside), digests, rate, _silent_ms(keys))


def _mqtt(keys: TomlKeys, beside: Path) -> MqttSource:
    name = _name(keys)
    files = {key: beside / keys.text(key) if key in keys else None for key in ("ca_file", "cert_file", "key_file")}
    if files["ca_file"] is None and (files["cert_file"] or files["key_file"]):
        raise WrongKey(f"{keys.label} has a certificate without ca_file, which makes the connection one of TLS")
    if ("username" in keys) != ("password_file" in keys):
        raise WrongKey(f"{keys.label} needs both username and password_file, or neither")
    content = _content(keys, beside)
    if isinstance(content, TableContent):
        raise WrongKey(f"{keys.label} needs devices or readings: a message is one JSON object")
    group = keys.text("group") if "group" in keys else None
    if group is not None and not _NAME.fullmatch(group):
        raise keys.wrong("group", "it must be of small letters, digits and hyphens, at most 41")
    broker = MqttBroker(
        host=keys.text("host"),
        port=keys.whole("port", 1, 65_535, 1_883 if files["ca_file"] is None else 8_883),
        topics=keys.texts("topics"),
        client_id=keys.text("client_id", f"sistercity-{name}").replace("{host}", gethostname()),
        group=group,
        ca_file=files["ca_file"],
        cert_file=files["cert_file"],
        key_file=files["key_file"],
        username=keys.text("username") if "username" in keys else None,
        password=keys.secret("password_file", beside) if "password_file" in keys else None,
        in_flight=keys.whole("in_flight", 1, 65_535, 2_000),
        session_s=keys.whole("session_days", 1, 365, 7) * 86_400,
    )
    return MqttSource(name, content, broker, _silent_ms(keys))


def _poll(keys: TomlKeys, beside: Path) -> PollSource:
    address = poll_address(keys, beside)
    return PollSource(_name(keys), _content(keys, beside), address, poll_trust(keys, beside), _silent_ms(keys))


def _topic(keys: TomlKeys, beside: Path) -> TopicSource:
    name, content, values = _name(keys), _content(keys, beside), avro_values(keys, beside)
    if values is not None and not isinstance(content, TableContent):
        raise WrongKey(f"{keys.label} needs a profile, which says what the fields of Avro are")
    if isinstance(content, TableContent) and (words := _not_of_messages(content.profile)):
        raise WrongKey(f"{keys.label} has the profile {content.profile.name}, which {words}: a message stands alone")
    return TopicSource(name, content, topic_address(keys, beside, name), values, _silent_ms(keys))


def _not_of_messages(profile: Profile) -> str:
    """Why single records can't be read by a profile; empty if they can."""
    if profile.json is None or profile.json.records:
        return "needs [json] without records"
    if profile.interval.kind == "spacing" or profile.value.volts_amperes:
        return "looks at a whole file first"
    return "has states of registers, whose differences it reads" if profile.value.cumulative else ""


def _name(keys: TomlKeys) -> str:
    name = keys.text("name")
    if not _NAME.fullmatch(name):
        raise keys.wrong("name", "it must be of small letters, digits and hyphens, at most 41")
    return name


def _content(keys: TomlKeys, beside: Path) -> SourceContent:
    kind = next((kind for kind in ("devices", "readings") if kind in keys), "profile")
    if kind != "profile" and (others := [key for key in _CONTENT if key in keys and key != kind]):
        raise WrongKey(f"{keys.label} has {kind}, and {others[0]}, which does not go with it")
    if kind == "readings":
        known = [name for name in datasets() if any(units_of(metric) for metric in sent_in(name))]
        return ReadingsContent(keys.one_of("readings", known))
    if kind == "devices":
        names = keys.texts("devices")
        return DeviceContent(load_devices([beside / name if name.endswith(".toml") else name for name in names]))
    named = keys.text("profile")
    profile = load_profile(beside / named if named.endswith(".toml") else named)
    source = keys.text("source") if "source" in keys else None
    if (source is None) == (profile.source is None):
        words = "needs source: its profile names none" if source is None else "has source, but its profile names it"
        raise WrongKey(f"{keys.label} {words}")
    zone = keys.text("zone") if "zone" in keys else None
    try:
        if zone is not None:
            ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise keys.wrong("zone", 'it must be a zone such as "Europe/Oslo"') from None
    interval = keys.whole("interval_s", 1, 3_600 * 24 * 31) * 1_000 if "interval_s" in keys else None
    unit, column = (keys.text(key) if key in keys else None for key in ("unit", "column"))
    return TableContent(profile, Said(zone, unit, interval, column), source)


def _folder(keys: TomlKeys, beside: Path) -> FolderSource:
    folder = (beside / keys.text("path")).resolve()
    if not folder.is_dir():
        raise keys.wrong("path", "there is no such folder")
    return FolderSource(
        name=_name(keys),
        path=folder,
        content=_content(keys, beside),
        pattern=keys.text("pattern", "*"),
        settle_ms=keys.whole("settle_s", 1, 86_400, 10) * 1_000,
        silent_ms=_silent_ms(keys),
    )


def _silent_ms(keys: TomlKeys) -> int:
    return keys.whole("silent_h", 0, 8_784, 48) * 3_600_000
