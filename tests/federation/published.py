"""A city's entries, bodies and heads in memory, as its publisher makes them."""

from collections.abc import Mapping, Sequence

from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.heads import sign_head
from store.publications import Header, Kind, PublishedCell, Window
from store.verification import StoredEntry
from tests.federation.identity.cities import NOW, SigningCity

HOUR = 3_600_000
METRIC = "energy.import"
LOG = "6c1f2c1e-8f2a-4b6e-9d57-0a4f4f1c2b3d"
CATALOGUE = digest(b"a catalogue")
CELLS = tuple(PublishedCell(area, "residential", area * 1000, "high", "15/15") for area in (1, 2))


class PublishedCity:
    """Publishes one metric; every method returns what it has made."""

    def __init__(self, keys: SigningCity, metric: str = METRIC) -> None:
        self.keys = keys
        self.metric = metric
        self.rows: list[StoredEntry] = []
        self.end: ChainEnd | None = None

    def publish(
        self,
        hour: int,
        kind: Kind = "publication",
        *,
        cells: Sequence[PublishedCell] = CELLS,
        before: str | None = None,
        sequence: int | None = None,
        salt: str = "00" * 16,
    ) -> StoredEntry:
        """An entry of the window that begins so many hours after NOW, and its body."""
        number = sequence or (1 if self.end is None else self.end.sequence + 1)
        window = Window(NOW + hour * HOUR, NOW + (hour + 1) * HOUR)
        revision = 1 if kind in ("correction", "withdrawal") else 0
        reason = "wrong" if kind == "withdrawal" else None
        header = Header(number, self.metric, number, window, revision, window.end + HOUR, kind, reason)
        body = body_bytes(header, "mJ", () if kind in ("withdrawal", "skip") else cells, salt)
        hash_ = before or (None if self.end is None else self.end.hash)
        line = entry_bytes(PublicationEntry(self.keys.city, header, hash_, digest(body), CATALOGUE))
        self.rows.append(StoredEntry(line, body))
        self.end = ChainEnd(number, digest(line))
        return self.rows[-1]

    def head(self, number: int, ends: Mapping[str, ChainEnd] | None = None) -> str:
        """A signed head of these ends, or of all that was published."""
        named = ends if ends is not None else {} if self.end is None else {self.metric: self.end}
        return sign_head(
            self.keys.publish,
            city=self.keys.city,
            log=LOG,
            number=number,
            position=len(self.rows),
            ends=named,
            audit=None,
            now_ms=NOW,
        )
