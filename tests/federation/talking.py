"""A city whose word a test chooses, right or wrong, signed with its own keys: docs/wire.md over real sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import uvicorn

from federation.identity.document import sign_revocation
from federation.partners.limits import FetchLimits, Network
from federation.partners.pulling import Pulling
from federation.publications.catalogues import catalogue_bytes, metric_facts
from federation.publications.chain import ChainEnd
from federation.publications.entries import PublicationEntry, body_bytes, digest, entry_bytes
from federation.publications.heads import sign_head
from schemas.catalogue import Metric, catalogue
from store.agreements import InstalledAgreement, MetricGrant, install
from store.database import Connection, connect
from store.identities import save_own_identity
from store.publication_log import PublishedArea
from store.publications import Header, Kind, PublishedCell, Window
from tests.federation.identity.cities import DAY, NOW, SigningCity
from tests.waiting import until

HOUR = 3_600_000
IMPORT, SOLAR = catalogue()["energy.import"], catalogue()["energy.solar"]
BEGIN = NOW - NOW % DAY - 60 * DAY
"""A midnight in UTC, and the beginning of an hour in Huế."""
US = SigningCity("isfahan")
AGREEMENT = "A" * 22
SALT = "00" * 16

Json = dict[str, Any]


@dataclass
class Reply:
    """An answer as it is sent."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Published:
    """One publication: what is in its entry, and the bytes of entry and body (None if it is withheld)."""

    entry: PublicationEntry
    line: bytes
    body: bytes | None


Edit = Callable[[Reply], Reply]


class TalkingCity:
    """A city in memory. `edits` change answers by path; `replies` are sent once, before any other answer.

    `hold` keeps every answer back while it is cleared. With `tags`, answers have an ETag, and are 304 if it comes back.
    """

    def __init__(
        self, city: str = "hue", zone: str = "Asia/Ho_Chi_Minh", metrics: Sequence[Metric] = (IMPORT,)
    ) -> None:
        self.keys = SigningCity(city)
        self.city, self.zone, self.metrics = city, zone, {metric.name: metric for metric in metrics}
        self.log = str(UUID(int=1))
        self.areas = [PublishedArea(1, "A", 10, BEGIN), PublishedArea(2, "B", 30, BEGIN)]
        self.published: list[Published] = []
        self.heads: list[str] = []
        self.seen: dict[str, list[str]] = {}
        self.identity = self.keys.document()
        self.edits: dict[str, Edit] = {}
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[str] = []
        self.tokens = 0
        self.due = NOW
        self.tags = False
        self.unchanged: dict[str, int] = {}
        self.hold = threading.Event()
        self.hold.set()

    # What it says.

    def catalogue(self, metric: str) -> bytes:
        return catalogue_bytes(self.metrics[metric], self.areas, self.zone)

    def publish(
        self,
        hour: int,
        metric: str = IMPORT.name,
        *,
        kind: Kind = "publication",
        revision: int = 0,
        value: int = 500,
        sequence: int | None = None,
        window: Window | None = None,
        cells: Sequence[PublishedCell] | None = None,
        edit: Callable[[Json], Any] | None = None,
        entry: Callable[[PublicationEntry], PublicationEntry] = lambda entry: entry,
    ) -> Published:
        """Publish an hour; `edit` changes the body as JSON before it is hashed, `entry` the entry."""
        end = self.end(metric)
        window = window or Window(BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR)
        number = sequence or (1 if end is None else end.sequence + 1)
        reason = "wrong" if kind == "withdrawal" else None
        header = Header(len(self.published) + 1, metric, number, window, revision, window.end, kind, reason)
        cells = self.cells(metric, value, kind) if cells is None else cells
        body = body_bytes(header, self.metrics[metric].smallest_unit, cells, SALT)
        if edit is not None:
            content = json.loads(body)
            edited = edit(content)
            body = edited if isinstance(edited, bytes) else json.dumps(content, ensure_ascii=False).encode()
        before = None if end is None else end.hash
        made = entry(PublicationEntry(self.city, header, before, digest(body), digest(self.catalogue(metric))))
        if kind == "withdrawal":
            for each in self.published:
                if each.entry.header.window == window and each.entry.header.metric == metric:
                    each.body = None
        self.published.append(Published(made, entry_bytes(made), body))
        return self.published[-1]

    def cells(self, metric: str, value: int, kind: Kind = "publication") -> list[PublishedCell]:
        rule = self.metrics[metric].rule
        if kind == "skip":
            return []
        if kind == "withdrawal":
            return [PublishedCell(area, "residential", None, None, rule, withdrawn=True) for area in (1, 2)]
        return [
            PublishedCell(1, "residential", value, "high", rule),
            PublishedCell(2, "residential", None, None, rule),
        ]

    def end(self, metric: str) -> ChainEnd | None:
        of = [each for each in self.published if each.entry.header.metric == metric]
        return ChainEnd(of[-1].entry.header.sequence, digest(of[-1].line)) if of else None

    def sign(self, **changed: Any) -> str:
        """Sign a head of what was published so far."""
        ends = {metric: end for metric in self.metrics if (end := self.end(metric)) is not None}
        terms: Json = {
            "city": self.city,
            "log": self.log,
            "number": len(self.heads) + 1,
            "position": len(self.published),
            "ends": ends,
            "audit": None,
            "now_ms": NOW,
        }
        key = changed.pop("key", self.keys.publish)
        self.heads.append(sign_head(key, **(terms | changed)))
        return self.heads[-1]

    def say(self, *hours: int, metric: str = IMPORT.name) -> None:
        """Publish these hours and sign a head."""
        for hour in hours:
            self.publish(hour, metric)
        self.sign()

    def revoke(self) -> None:
        self.identity = sign_revocation(self.keys.identity, city=self.city, revoked_at=NOW, reason="lost")

    # How it answers.

    def answer(self, path: str, query: dict[str, str], known: str | None) -> Reply:
        self.requests.append(path)
        if self.replies.get(path):
            return self.replies[path].pop(0)
        reply = self._reply(path, query)
        if path in self.edits:
            reply = self.edits[path](reply)
        if self.tags and reply.status == 200 and path != "/v1/token":
            tag = f'"{digest(reply.body)[:16]}"'
            reply = replace(reply, headers=reply.headers | {"ETag": tag})
            if known == tag:
                self.unchanged[path] = self.unchanged.get(path, 0) + 1
                return Reply(304, headers=reply.headers)
        return reply

    def _reply(self, path: str, query: dict[str, str]) -> Reply:
        if path == "/v1/identity":
            return Reply(body=self.identity.encode(), media_type="application/jose")
        if path == "/v1/catalog":
            return Reply(body=json.dumps(self.facts()).encode())
        if path == "/v1/token":
            self.tokens += 1
            token = {"access_token": f"t{self.tokens}", "token_type": "Bearer", "expires_in": 900, "scope": AGREEMENT}
            return Reply(body=json.dumps(token).encode())
        if path == "/v1/head":
            return Reply(body=self.heads[-1].encode(), media_type="application/jose") if self.heads else Reply(404)
        if path == "/v1/entries":
            return self._lines([(each.entry.header.position, each.line) for each in self.published], query)
        if path == "/v1/bodies":
            of = [each for each in self.published if each.entry.header.metric == query["metric"]]
            due = [each for each in of if each.entry.header.published_at <= self.due or each.body is None]
            return self._lines([(each.entry.header.sequence, each.body) for each in due], query)
        if path.startswith("/v1/catalogues/"):
            for metric in self.metrics:
                if digest(self.catalogue(metric)) == path.rpartition("/")[2]:
                    return Reply(body=self.catalogue(metric))
        if path.startswith("/v1/heads/"):
            seen = self.seen.get(path.rpartition("/")[2], [])
            return Reply(body="".join(f"{head}\n" for head in seen).encode(), media_type="application/jsonl")
        return Reply(404)

    def _lines(self, numbered: Sequence[tuple[int, bytes | None]], query: dict[str, str]) -> Reply:
        after, limit = int(query.get("after", 0)), int(query.get("limit", 1000))
        page = [(number, line) for number, line in numbered if number > after][:limit]
        following = page[-1][0] if page else after
        body = b"".join(line + b"\n" for _, line in page if line is not None)
        return Reply(body=body, media_type="application/jsonl", headers={"Sistercity-Next": str(following)})

    def facts(self) -> Json:
        return {
            "city": {
                "id": self.city,
                "name": self.city.title(),
                "names": {"vi": "Huế"},
                "country": "VN",
                "zone": self.zone,
                "population": 40,
                "districts": 2,
                "sources": [],
            },
            "log": self.log,
            "metrics": [
                metric_facts(metric, self.areas, self.zone) | {"detectors": []} for metric in self.metrics.values()
            ],
        }


async def exchange(cities: dict[str, TalkingCity], scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app of several cities, each at a path of its own."""
    if scope["type"] != "http":
        return
    name, _, path = scope["path"][1:].partition("/")
    while (await receive()).get("more_body"):
        pass
    city = cities[name]
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    known = next((value.decode() for key, value in scope["headers"] if key == b"if-none-match"), None)
    reply = city.answer(f"/{path}", query, known)
    while not city.hold.is_set():
        await asyncio.sleep(0.01)  # a thread sets it, which wakes no coroutine
    headers = [(b"content-type", reply.media_type.encode())] if reply.media_type else []
    headers += [(key.lower().encode(), value.encode("latin-1")) for key, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


@contextmanager
def talking(*cities: TalkingCity) -> Iterator[list[str]]:
    """The cities on a free port of loopback; yields the address of each."""
    with talking_in_turn({city.city: city for city in cities}) as port:
        yield [f"http://127.0.0.1:{port}/{city.city}" for city in cities]


@contextmanager
def talking_in_turn(named: dict[str, TalkingCity]) -> Iterator[int]:
    """The cities that are in `named` at any time, each at the path of its name; yields the port."""

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await exchange(named, scope, receive, send)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            for city in named.values():
                city.hold.set()
            until(lambda: server.started, "the cities listen", pause_s=0.01)
            server.should_exit = True
            thread.join()


def agreed(city: TalkingCity, address: str, **changed: Any) -> InstalledAgreement:
    """What an agreement with this city gives us, from the beginning, without a delay."""
    grants = tuple(MetricGrant("received", metric, BEGIN - DAY, 0, 3660) for metric in city.metrics)
    whole = InstalledAgreement(
        *(AGREEMENT, 1, US.thumbprint, city.keys.thumbprint, city.city, b"", "", (address,)),
        *(NOW - 300 * DAY, NOW + 60 * DAY, False, 600, 2**30, 4, grants),
    )
    return replace(whole, **changed)


def forget_everything(connection: Connection) -> None:
    """Remove agreements, identities, and all that was received."""
    tables = (
        *("partner_bodies", "partner_entries", "entry_ends", "entry_cursors", "body_cursors", "partner_heads"),
        *(
            "replaced_entries",
            "skipped_bodies",
            "contradictions",
            "pulls",
            "partner_audits",
            "partner_catalogues",
            "partner_cells",
            "partner_publications",
        ),
        *("partners", "grants", "agreements", "agreement_revocations", "identities", "identity_revocations"),
    )
    connection.execute("; ".join(f"DELETE FROM {table}" for table in tables))


def agree(database_url: str, *agreements: InstalledAgreement) -> None:
    """Install agreements."""
    with connect(database_url) as connection:
        save_own_identity(connection, US.thumbprint, US.city, 1, US.document(), NOW + 90 * DAY)
        for agreement in agreements:
            install(connection, agreement, None)


def renew(connection: Connection, agreement: InstalledAgreement) -> InstalledAgreement:
    """Install the next version of an agreement."""
    following = replace(agreement, version=agreement.version + 1, hash=str(agreement.version + 1))
    install(connection, following, agreement.hash)
    return following


QUICK = FetchLimits(lines=2, attempts=3, backoff_s=0.01, backoff_cap_s=0.02, deadline_s=10)


def pulling(database_url: str, limits: FetchLimits = QUICK, now_ms: int = NOW) -> Pulling:
    """How we pull in tests: from loopback, at a fixed time."""
    return Pulling(database_url, [US.access], limits, Network(private_addresses=True), lambda: now_ms)
