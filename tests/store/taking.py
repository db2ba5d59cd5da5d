"""What a partner sent, stored as the puller stores it once all of it is verified."""

from collections.abc import Mapping

from store.database import Connection
from store.partner_bodies import ReceivedBody, store_bodies
from store.partner_cursors import BodyCursor, EntryCursor, body_cursors, entry_cursor
from store.partner_entries import ReceivedEntry, store_entries
from store.partner_facts import meet, save_facts
from store.partner_figures import define
from store.partner_heads import ReceivedHead
from store.publication_log import CellColumns
from store.publications import Kind, Window
from tests.federation.city import HOUR, T0

METRIC = "energy.import"


def definition(name: str, *populations: int) -> Mapping[str, object]:
    """What a catalogue says of a metric with an area for each of these numbers of people."""
    areas = [{"number": n, "name": f"Area {n}", "population": people} for n, people in enumerate(populations, 1)]
    known = {"unit": "Wh", "smallest_unit": "mJ", "smallest_per_unit": 3_600_000, "kind": "sum", "window": "hour"}
    return {"name": name, **known, "areas": areas}


def received(
    sequence: int,
    hour: int,
    value: int | None = 5,
    *,
    revision: int = 0,
    metric: str = METRIC,
    kind: Kind = "publication",
) -> ReceivedBody:
    """A body with two areas, of which the second shows nothing."""
    window = Window(T0 + hour * HOUR, T0 + (hour + 1) * HOUR)
    hashes = (f"body {sequence}", f"catalogue of {metric}")
    entry = ReceivedEntry(metric, sequence, f"hash {sequence}", b"{}", kind, window, revision, window.end, *hashes)
    coverage = None if value is None else "high"
    statuses = ["suppressed" if value is None else "released", "suppressed"]
    if kind == "withdrawal":
        statuses = ["withdrawn"] * 2
    cells = CellColumns([1, 2], ["residential"] * 2, statuses, [value, None], [coverage, None], ["rule"] * 2)
    return ReceivedBody(entry, b"body", "wrong meters" if kind == "withdrawal" else None, cells)


def take(connection: Connection, city: str, *definitions: Mapping[str, object]) -> None:
    """Make a city and the catalogues of its metrics known."""
    meet(connection, _thumbprint(city), city, city.title())
    save_facts(connection, _thumbprint(city), {"name": city.title(), "names": {"vi": city}})
    for metric in definitions:
        define(connection, city, f"catalogue of {metric['name']}", metric)


def keep(connection: Connection, city: str, *bodies: ReceivedBody) -> None:
    """Store entries and bodies that follow those that are stored. The agreement has the city's name."""
    thumbprint, before = _thumbprint(city), entry_cursor(connection, city)
    number = int(before.cursor or 0) + 1
    head = ReceivedHead(thumbprint, number, f"head {number}", thumbprint, "document", "log", T0, T0 + HOUR)
    entries = [body.entry for body in bodies]
    metrics = sorted({entry.metric for entry in entries})
    following = EntryCursor(str(number), tuple(metrics))
    store_entries(connection, city, head, before=before, following=following, entries=entries)
    for metric in metrics:
        of_metric = [body for body in bodies if body.entry.metric == metric]
        store_bodies(
            *(connection, city, thumbprint, city, metric),
            before=body_cursors(connection, city).get(metric),
            following=BodyCursor(of_metric[-1].entry.sequence, T0),
            bodies=of_metric,
        )


def _thumbprint(city: str) -> str:
    return f"{city:_<43}"
