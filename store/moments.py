"""Times: whole milliseconds since 1970 in the program, timestamptz in the tables."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """`milliseconds` after the start of 1970, UTC. Raises `OverflowError` outside the years 1 to 9999."""
    return _EPOCH + milliseconds * _MILLISECOND


def milliseconds(when: datetime) -> int:
    """The inverse of `moment`; fractions of a millisecond are cut off."""
    return (when - _EPOCH) // _MILLISECOND
