"""A picture as a message: Avro in Confluent wire format. Pictures are kept in this one topic, for minutes (P1)."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro

from schemas.batch import LAST_MS, MAGIC, PREFIX_BYTES, DecodeError, check_feeder
from schemas.catalogue import current_name, sent_in
from schemas.registry import newest, schemas
from schemas.topics import FRAMES, REGIONS

SCHEMA = newest(FRAMES).id
"""Id of the schema with which this version writes frames."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture that was due from a camera, or a tick.

    `interval` is milliseconds from one picture to the next, `start` the time at which it was taken, milliseconds since
    1970, UTC. `camera` and `contributor` are the register's numbers. `picture` is JPEG; empty if the camera gave none;
    None makes a tick, with a camera number that is ignored. `feeder` is who sends it.
    """

    metric: str
    area: int
    class_: str
    interval: int
    start: int
    camera: int
    contributor: int
    picture: bytes | None
    feeder: str = ""


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame as a message."""
    out = io.BytesIO()
    out.write(MAGIC + SCHEMA.to_bytes(4, "big"))
    record = {
        "metric": frame.metric,
        "area": frame.area,
        "class": frame.class_,
        "interval": frame.interval,
        "start": frame.start,
        "camera": frame.camera,
        "contributor": frame.contributor,
        "feeder": frame.feeder,
        "picture": frame.picture,
    }
    fastavro.schemaless_writer(out, _parsed()[SCHEMA], record)
    return out.getvalue()


def encode_frame_tick(time_ms: int, feeder: str = "") -> bytes:
    """A frame without a picture: the time of the feeder's cameras has come as far as `time_ms`."""
    metric = sent_in(REGIONS)[0]
    return encode_frame(Frame(metric.name, 0, metric.classes[0], 0, time_ms, 0, 0, None, feeder))


def decode_frame(message: bytes | None) -> Frame:
    """Decode a message as a frame. Raises `DecodeError`, with a text that holds no byte of the message."""
    if message is None or len(message) < PREFIX_BYTES:
        raise DecodeError("cut", f"{len(message or b'')} bytes are too few for a message")
    if message[:1] != MAGIC:
        raise DecodeError("not-confluent", f"the first byte is {message[0]}, not 0")
    schema_id = int.from_bytes(message[1:PREFIX_BYTES], "big")
    schema = _parsed().get(schema_id)
    if schema is None:
        raise DecodeError("unknown-schema", f"the schema {schema_id} is none of frames")
    body = io.BytesIO(message[PREFIX_BYTES:])
    try:
        record: Any = fastavro.schemaless_reader(body, schema, None)
    except Exception as error:  # fastavro raises exceptions of many types
        reason = "cut" if isinstance(error, EOFError | IndexError) else "not-avro"
        raise DecodeError(reason, type(error).__name__) from None
    if body.tell() != len(message) - PREFIX_BYTES:
        raise DecodeError("trailing", f"{len(message) - PREFIX_BYTES - body.tell()} bytes follow the frame")
    frame = Frame(
        metric=current_name(record["metric"]),
        area=record["area"],
        class_=record["class"],
        interval=record["interval"],
        start=record["start"],
        camera=record["camera"],
        contributor=record["contributor"],
        picture=record["picture"],
        feeder=record.get("feeder", ""),
    )
    numbers = (frame.camera, frame.contributor)
    if not (0 <= frame.start < LAST_MS and frame.area >= 0 and frame.interval >= 0 and min(numbers) >= 0):
        raise DecodeError("out-of-range", "a number is negative, or the time lies past the year 9999")
    if max(numbers) >= 2**32:
        raise DecodeError("out-of-range", "a number of the register has 32 bits")
    check_feeder(frame.feeder)
    return frame


@cache
def _parsed() -> Mapping[int, Any]:
    """Every version of the schema of frames, by id."""
    return {
        number: _without_dates(schema.definition) for number, schema in schemas().items() if schema.dataset == FRAMES
    }


def _without_dates(definition: Mapping[str, Any]) -> Any:
    """The schema without its logical type, so that times are read as whole numbers."""
    fields = [{**field, "type": "long"} if field["name"] == "start" else field for field in definition["fields"]]
    return fastavro.parse_schema({**definition, "fields": fields})
