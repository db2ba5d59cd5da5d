"""Which columns of a file are the amounts of streams."""

from collections.abc import Mapping

from ingest.files.reading import NotSuchFile
from ingest.tables.layout import TableLayout
from ingest.tables.profile import Profile
from ingest.tables.text import folded


def stream_columns(layout: TableLayout, profile: Profile) -> Mapping[str, str]:
    """Columns with the names of their streams in the register; none if the profile has a column for its amounts.

    Raises `NotSuchFile` for two of one name, or more than there are positions for.
    """
    part = profile.streams
    if part is None:
        return {}
    streams = dict(part.names)
    known = {folded(column) for column in streams}
    for column in layout.names:
        if part.pattern is not None and folded(column) not in known:
            match = part.pattern.fullmatch(column.upper())
            if match is not None:
                streams[column.upper()] = match[1]
    if len(streams) >= part.places or len(set(streams.values())) < len(streams):
        raise NotSuchFile(
            f"{layout.name}: has more streams than {part.places - 1}, or two of one name: {', '.join(streams)}"
        )
    return streams
