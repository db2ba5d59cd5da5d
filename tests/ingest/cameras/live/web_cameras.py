"""Connections to HTTP cameras of tests, and what they deliver."""

from contextlib import closing
from pathlib import Path

from ingest.cameras.live.addresses import Address, Kind
from ingest.cameras.live.protocol import Arrival, CameraLimits, CameraUnavailable
from ingest.cameras.live.web import WebCamera
from tests.ingest.cameras.live.servers import Asked, jpeg

NOW = 1_790_000_000_700
SECRET = "geheim-4711"
SHORT = CameraLimits(silence_s=0.5, picture_s=5.0, bytes=1 << 20)


def camera(
    url: str, rate: float = 20.0, kind: Kind | None = None, limits: CameraLimits = SHORT, **login: str | Path
) -> WebCamera:
    return WebCamera(Address(1, "K-17", f"{url}/{SECRET}", rate, kind, **login), limits, lambda: NOW)  # type: ignore[arg-type]


def always() -> bool:
    return True


def come(connection: WebCamera, most: int = 100) -> tuple[list[Arrival], str]:
    """What came, and why no more did."""
    found: list[Arrival] = []
    with closing(connection.pictures(always)) as pictures:  # type: ignore[type-var]
        try:
            for arrival in pictures:
                found.append(arrival)
                if len(found) == most:
                    return found, "enough"
        except CameraUnavailable as away:
            return found, away.reason
    return found, "no more"


def pictures_of(found: list[Arrival]) -> list[bytes]:
    return [arrival.picture() for arrival in found]


def one_then_silence(asked: Asked) -> None:
    asked.stream()
    asked.part(jpeg(0))
    asked.hang()
