"""`sistercity plates picture` and `pictures`: a camera's newest picture in a file, blurred, and recorded first.

This is the only way in which a node writes a camera's picture to a file.
"""

import csv
import logging
import os
import pwd
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.plate_detection import cover, prepare_opencv
from node.wiring import CommandError

if TYPE_CHECKING:
    from schemas.frames import Frame
    from store.database import Connection
    from store.debug_pictures import DebugPicture

_ENDINGS = (".jpg", ".jpeg", ".png")
_LONGEST_REASON = 500
_COLUMNS = ("number", "made_at", "os_user", "database_user", "camera", "taken_at", "regions", "sha256", "reason")


def picture(
    camera: Annotated[str, typer.Argument(help="the camera's id in the register")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a new file, .jpg or .png")],
    reason: Annotated[str, typer.Option(help="why somebody has to see it; it is kept")],
    force: Annotated[bool, typer.Option("--force", help="write OUT anew if it is there")] = False,
) -> None:
    """Write the newest picture of a camera to a file, its plates blurred. Who did that, and why, is recorded.

    Pictures stay in Kafka for minutes, so the camera must be running. Blurring misses some plates (docs/plates.md) and
    every face: the file is for the city's own eyes, and only its owner may read it.
    """
    from store.debug_pictures import DebugPicture

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # errors are reported once, by this command
    reason = _checked_reason(reason)
    _check_place(out, force=force)
    prepare_opencv()
    with wiring.database("plates") as connection:
        number = _number_of(connection, camera)
        frame = _newest(number)
        data, regions = _blurred(frame.picture or b"", out.suffix)
        made = DebugPicture(_os_user(), number, frame.start, reason, sha256(data).digest(), regions)
        entry = _enter(connection, made)
    _write(out, data, entry, force=force)
    typer.echo(f"{out}: camera {number} as of {_time(frame.start)}, {regions} regions blurred; entry {entry}")


def pictures() -> None:
    """List the debug pictures that were made, as CSV, the oldest first: who, when, of which camera, and why."""
    from store.debug_pictures import entries

    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(_COLUMNS)
    with wiring.database("plates") as connection:
        for entry in entries(connection):
            made = entry.picture
            users = (made.os_user, entry.database_user)
            rest = (made.camera, _time(made.taken_ms), made.regions, made.sha256.hex(), made.reason)
            table.writerow((entry.number, _time(entry.made_ms), *users, *rest))


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason or not reason.isprintable() or len(reason) > _LONGEST_REASON:
        raise CommandError(f"--reason must say, in one line of at most {_LONGEST_REASON} characters, what it is for")
    return reason


def _check_place(out: Path, *, force: bool) -> None:
    """Check all that can be checked before the entry is made, since each entry is for a file."""
    if out.suffix.lower() not in _ENDINGS:
        raise CommandError(f"{out.name} must end in {', '.join(_ENDINGS)}")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise CommandError(f"{out} is no plain file")
    if out.exists() and not force:
        raise CommandError(f"{out} is there already; --force writes it anew")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise CommandError(f"{out.parent} is no folder that can be written to")


def _number_of(connection: "Connection", camera: str) -> int:
    """The register's number of a camera today."""
    from ingest.register import stored_register
    from node.clock import now_ms
    from schemas.catalogue import sent_in
    from schemas.topics import REGIONS

    entry = stored_register(connection, now_ms, camera).find(sent_in(REGIONS), camera, now_ms())
    if entry is None:
        raise CommandError("the register has no camera of this id now")
    return entry.number


def _newest(number: int) -> "Frame":
    """A camera's newest frame that has a picture."""
    from schemas.batch import DecodeError
    from schemas.frames import decode_frame
    from schemas.topics import FRAMES, live

    topic = live(wiring.city().id, FRAMES)
    for record in wiring.log().backwards(topic, b"%d" % number):
        try:
            frame = decode_frame(record.value)
        except DecodeError:
            continue
        if frame.camera == number and frame.picture:
            return frame
    raise CommandError(f"{topic} has no picture of this camera; pictures stay there for minutes")


def _blurred(data: bytes, ending: str) -> tuple[bytes, int]:
    """The file's contents, and how many regions are blurred in it."""
    import cv2

    from processors.plates.jpeg_decoding import decode_picture
    from schemas.pictures import BadPicture

    try:
        seen, regions = cover(tiled=True)(decode_picture(data))
    except BadPicture as error:
        raise CommandError(f"the newest picture of this camera can't be decoded: {error.reason}") from None
    try:
        done, encoded = cv2.imencode(ending, seen)
    except cv2.error:
        done = False
    if not done:
        raise CommandError(f"a picture of this size can't be written as {ending}")
    return encoded.tobytes(), regions


def _os_user() -> str:
    """This process's user by the system's database, not by environment variables, which anyone can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has no name
        return f"uid {os.getuid()}"


def _enter(connection: "Connection", made: "DebugPicture") -> int:
    from store.debug_pictures import NotEntered, enter

    try:
        return enter(connection, made)
    except NotEntered as error:
        raise CommandError(f"no picture is written, for it can't be entered: {error}") from error


def _write(out: Path, data: bytes, entry: int, *, force: bool) -> None:
    """Write a new file that only its owner may read; all of it or none."""
    begun = False
    try:
        if force:
            out.unlink(missing_ok=True)
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            begun = True
            file.write(data)
    except OSError as error:
        if begun:
            out.unlink(missing_ok=True)
        raise CommandError(f"{out} can't be written: {error.strerror}; entry {entry} has no file") from error


def _time(at_ms: int) -> str:
    from store.moments import moment

    return moment(at_ms).isoformat(timespec="milliseconds")
