"""Uplinks of LoRaWAN devices in the JSON of the common network servers: device, time and payload.

The Things Stack (webhook, storage export, export of its console), ChirpStack 3 and 4, LORIOT, Actility ThingPark,
Helium's console, and Milesight's own gateways. Servers send other events in the same way (a join, a status): those are
no uplinks.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ingest.files.clocks import within
from ingest.files.reasons import DEVICE, ENVELOPE, MISSING, PAYLOAD, TIME
from store.moments import milliseconds

EARLIEST_MS = 1_420_070_400_000
"""1 January 2015: LoRaWAN was published in that month. A gateway that has not yet heard a satellite sends 1980."""

Document = Mapping[str, object]


class BadUplink(ValueError):
    """No uplink that can be read; the text says what is wrong with it, `reason` is one of `ingest.files.reasons`."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sent:
    """What a device sent: its EUI in lower case, when it was received (milliseconds since 1970, UTC), the payload, and
    its port; None where the server does not say it."""

    device: str
    time_ms: int
    payload: bytes
    port: int | None = None


@dataclass(frozen=True, slots=True)
class _Envelope:
    """How one server writes an uplink: what tells its documents from those of others, and the paths of the fields.

    `uplink` are fields of which an uplink has one and other events have none, `times` where its time may stand.
    """

    device: Sequence[str]
    uplink: Sequence[str]
    times: Sequence[Sequence[str]]
    payload: Sequence[str]
    decode: Callable[[str], bytes]
    port: Sequence[str]
    seconds: bool = False


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ENVELOPES = (
    # The Things Stack, community and commercial
    _Envelope(
        ("end_device_ids", "dev_eui"),
        ("uplink_message",),
        (("uplink_message", "received_at"),),
        ("uplink_message", "frm_payload"),
        _from_base64,
        ("uplink_message", "f_port"),
    ),
    _Envelope(  # ChirpStack 4
        ("deviceInfo", "devEui"), ("fPort", "data"), (("time",),), ("data",), _from_base64, ("fPort",)
    ),
    # Milesight's own gateways; ChirpStack 3, which has the time only where a gateway has a clock
    _Envelope(
        ("devEUI",),
        ("fPort", "data"),
        (("time",), ("rxInfo", "time"), ("publishedAt",)),
        ("data",),
        _from_base64,
        ("fPort",),
    ),
    _Envelope(
        ("EUI",), ("data",), (("ts",),), ("data",), bytes.fromhex, ("port",)
    ),  # LORIOT: of the device (rx), of gateways (gw)
    _Envelope(  # Actility ThingPark
        ("DevEUI_uplink", "DevEUI"),
        ("DevEUI_uplink",),
        (("DevEUI_uplink", "Time"),),
        ("DevEUI_uplink", "payload_hex"),
        bytes.fromhex,
        ("DevEUI_uplink", "FPort"),
    ),
    _Envelope(  # Helium
        ("dev_eui",), ("payload",), (("reported_at",),), ("payload",), _from_base64, ("port",), seconds=True
    ),
)
_EUI = re.compile(r"[0-9A-Fa-f]{16}", re.ASCII)
_EUI_BYTES = 8
# One of these servers omits the second hyphen: 2020-0327T12:39:05.547336Z.
_TIME = re.compile(r"(\d{4})-(\d\d)-?(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_LATEST_IN_SECONDS = 10**11

_THINGPARK = re.compile(r"DevEUI_\w+", re.ASCII)
_UPLINK_OF_THE_CONSOLE = "as.up.data.forward"


def read_uplink(document: object) -> Sent | None:
    """The uplink in a server's document; None for another event of a known server. Raises `BadUplink`."""
    if not isinstance(document, dict):
        raise BadUplink("no JSON object", ENVELOPE)
    unwrapped = _unwrapped(document)
    if unwrapped is None:
        return None
    envelope = next((known for known in _ENVELOPES if _at(unwrapped, known.device) is not None), None)
    if envelope is None:
        if any(_THINGPARK.fullmatch(name) for name in unwrapped):
            return None
        raise BadUplink("none of the known envelopes", ENVELOPE)
    device = _eui(_at(unwrapped, envelope.device))
    if not any(name in unwrapped for name in envelope.uplink):
        return None
    times = (_time(written, envelope.seconds) for path in envelope.times for written in _all_at(unwrapped, path))
    time_ms = next((time for time in times if time is not None), None)
    if time_ms is None or time_ms < EARLIEST_MS:
        raise BadUplink("the time is none, or before there were such devices", TIME)
    payload = _payload(_at(unwrapped, envelope.payload), envelope.decode)
    return Sent(device, time_ms, payload, _port(_at(unwrapped, envelope.port)))


def _unwrapped(document: Document) -> Document | None:
    """The document without what The Things Stack's exports put around it; None for another event."""
    result = document.get("result")
    if isinstance(result, dict) and "end_device_ids" in result:
        return result
    data = document.get("data")
    if isinstance(data, dict) and "name" in document:
        return data if document["name"] == _UPLINK_OF_THE_CONSOLE else None
    return document


def _eui(written: object) -> str:
    if isinstance(written, str) and _EUI.fullmatch(written):
        return written.lower()
    try:  # ChirpStack 3 writes bytes in base64 where it was told to
        decoded = _from_base64(written) if isinstance(written, str) else b""
    except ValueError:
        decoded = b""
    if len(decoded) != _EUI_BYTES:
        raise BadUplink("the device has no EUI of 16 hexadecimal digits", DEVICE)
    return decoded.hex()


def _port(written: object) -> int | None:
    """A port; ThingPark writes it as text."""
    if isinstance(written, str) and written.isascii() and written.isdigit() and len(written) < 4:
        written = int(written)
    return written if isinstance(written, int) and not isinstance(written, bool) and 0 <= written < 256 else None


def _payload(written: object, decode: Callable[[str], bytes]) -> bytes:
    if written is None:
        raise BadUplink("the uplink has no payload", MISSING)
    try:
        return decode(written) if isinstance(written, str) else _refuse_payload("it is no text")
    except ValueError as error:
        raise BadUplink(f"the payload can't be decoded: {error}", PAYLOAD) from None


def _refuse_payload(text: str) -> bytes:
    raise ValueError(text)


def _at(document: object, keys: Sequence[str]) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _all_at(document: object, keys: Sequence[str]) -> Sequence[object]:
    """The value at a path of one key, or of two where the first leads to a list of objects."""
    first = _at(document, keys[:1])
    if len(keys) == 2 and isinstance(first, list):
        return [_at(item, keys[1:]) for item in first]
    return [_at(document, keys)]


def _time(written: object, seconds: bool) -> int | None:
    """Milliseconds since 1970; finer fractions are cut off. Numbers are milliseconds, or `seconds` if they are
    small."""
    if isinstance(written, int) and not isinstance(written, bool):
        return within(written * 1_000 if seconds and written < _LATEST_IN_SECONDS else written)
    match = _TIME.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
    fraction = int((match[7] or "").ljust(3, "0")[:3])
    ahead = (int(match[9] or 0) * 60 + int(match[10] or 0)) * (-60_000 if match[8] == "-" else 60_000)
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return within(milliseconds(when) + fraction - ahead)
