"""What a partner reads: the head, the chains under it, bodies, series, and the audit of its own requests."""

from http import HTTPStatus

from federation.conformance.public import not_modified
from federation.conformance.visit import NotTried, Visit, expect, json_of, lines_of, problem
from federation.identity.document import LEEWAY_MS
from federation.partners.grid import on_grid
from federation.publications.chain import ChainEnd, check_body, follow
from federation.publications.entries import PublicationEntry, digest
from federation.publications.heads import covered
from federation.strict_json import loads
from federation.wire import Catalog, MetricCatalogue, Publication, Series

_UNKNOWN = "0" * 64


async def head(visit: Visit) -> None:
    """The head is signed by a key for publishing that holds now, and an ETag answers 304."""
    answer = await visit.read("v1/head")
    expect(answer.headers.get("content-type") == "application/jose", "it is not application/jose")
    await visit.head()
    await not_modified(visit, "v1/head")


async def chains(visit: Visit) -> None:
    """The entries of each metric are one chain, which the head covers, and of no metric but those agreed."""
    signed, city = await visit.head(), (await visit.identity()).city
    ends: dict[str, ChainEnd] = {}
    position = 0
    for entry, line in await visit.entries():
        header = entry.header
        expect(header.metric in visit.granted, f"an entry is of {header.metric}, which was not agreed")
        expect(header.position > position, "entries are not in the order of position")
        position = header.position
        ends[header.metric] = follow(ends.get(header.metric), entry, line, city=city)
        named = signed.ends.get(header.metric)
        if named is not None and header.sequence <= named.sequence:
            covered(signed, header.metric, ends[header.metric])
    if any(metric not in signed.ends or end.sequence > signed.ends[metric].sequence for metric, end in ends.items()):
        signed = await visit.newest_head()  # there may be more since the first one
    for metric, end in ends.items():
        covered(signed, metric, end)
    for metric in visit.granted:
        named = signed.ends.get(metric)
        expect(named is None or (metric in ends and ends[metric].sequence >= named.sequence), f"{metric} ends early")


async def windows(visit: Visit) -> None:
    """Each window is one of its metric's grid in the city's zone, and was over when it was published."""
    zone = Catalog.model_validate_json((await visit.get("v1/catalog")).content).city.zone
    lengths: dict[str, str] = {}
    for entry, _ in await visit.entries():
        header = entry.header
        if entry.catalogue not in lengths:
            answer = await visit.get(f"v1/catalogues/{entry.catalogue}")
            lengths[entry.catalogue] = MetricCatalogue.model_validate_json(answer.content).window
        name = f"the window of {header.metric} {header.sequence}"
        expect(header.window.end <= header.published_at <= visit.now_ms + LEEWAY_MS, f"{name} is in the future")
        whole = header.kind == "skip" or on_grid(zone, lengths[entry.catalogue], header.window)
        expect(whole, f"{name} is none of the metric's")


async def pages(visit: Visit) -> None:
    """Small pages give the same entries, and the end is an empty page with the cursor to come back with."""
    whole = [line for _, line in await visit.entries()]
    few = await visit.read("v1/entries?limit=1")
    expect(len(lines_of(few)) <= 1, "a page has more lines than were asked for")
    small = await visit.pages(f"v1/entries?limit={max(1, min(100, len(whole) // 3))}")
    expect(small[: len(whole)] == whole, "small pages give other entries than a large one")
    await not_modified(visit, "v1/entries?limit=1")


async def bad_parameters(visit: Visit) -> None:
    """A cursor or a limit that is none answers with a problem."""
    problem(await visit.read("v1/entries?after=!"), HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    for limit in ("0", "1001", "x"):
        refused = await visit.read(f"v1/entries?limit={limit}")
        problem(refused, HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


async def bodies(visit: Visit) -> None:
    """Each body is the one that its entry names, fits its catalogue, and is the same by its hash."""
    for metric in visit.granted:
        entries = {entry.body: entry for entry, _ in await visit.entries() if entry.header.metric == metric}
        sequence = 0
        for number, line in enumerate(await visit.pages(f"v1/bodies?metric={metric}&limit=1000")):
            entry = entries.get(digest(line))
            expect(entry is not None, f"a body of {metric} is named by no entry")
            assert entry is not None
            check_body(entry.header, entry.body, line)
            Publication.model_validate_json(line)
            expect(entry.header.sequence > sequence, "bodies are not in the order of sequence")
            sequence = entry.header.sequence
            if number < 3:
                await _fits_catalogue(visit, entry, line)
                await _same_by_hash(visit, entry, line)


async def absent_bodies(visit: Visit) -> None:
    """The bodies of windows that were withdrawn answer with 410, a hash that is none with 404."""
    problem(await visit.read(f"v1/bodies/{_UNKNOWN}"), HTTPStatus.NOT_FOUND)
    entries = [entry for entry, _ in await visit.entries()]
    withdrawn = {(e.header.metric, e.header.window) for e in entries if e.header.kind == "withdrawal"}
    gone = [e for e in entries if e.header.kind != "withdrawal" and (e.header.metric, e.header.window) in withdrawn]
    for entry in gone[:3]:
        problem(await visit.read(f"v1/bodies/{entry.body}"), HTTPStatus.GONE)
    if not gone:
        raise NotTried("404 as it must be; no window was withdrawn")


async def other_metrics(visit: Visit) -> None:
    """Nothing is given of a metric that was not agreed."""
    signed = await visit.head()
    others = {metric for metric in signed.ends if metric not in visit.granted} | {"no.such.metric"}
    for metric in sorted(others):
        for path in (f"v1/bodies?metric={metric}", f"v1/series/{metric}"):
            answer = await visit.read(path)
            empty = answer.status_code == HTTPStatus.OK and not answer.content
            expect(empty or answer.status_code >= 400, f"/{path} gives what was not agreed")


async def series(visit: Visit) -> None:
    """A series shows each window once, as its newest body does."""
    for metric in visit.granted:
        answer = await visit.read(f"v1/series/{metric}")
        expect(answer.status_code == HTTPStatus.OK, f"/v1/series/{metric} answers with {answer.status_code}")
        json_of(answer)
        found = Series.model_validate_json(answer.content)
        starts = [window.window.start for window in found.windows]
        expect(sorted(set(starts)) == starts, f"the windows of {metric} are not in order, each once")


async def audit(visit: Visit) -> None:
    """Each answer bears the head of an audit chain, whose lines tell what was given."""
    first = await visit.read("v1/head")
    expect(first.status_code == HTTPStatus.OK, f"/v1/head answers with {first.status_code}")
    expect("sistercity-audit" in first.headers, "/v1/head has no Sistercity-Audit")
    told, hash_ = first.headers["sistercity-audit"].split(" ")
    before, sequence, given = None, 0, set()
    while sequence < int(told):  # each of these requests is a line, too: the chain has no end that could be reached
        answer = await visit.read(f"v1/audit?limit=1000&after={sequence}")
        lines = lines_of(answer)
        if before is None and (begins := answer.headers.get("sistercity-audit-begins")):
            begun, before = begins.split(" ")  # older lines were removed by their age
            sequence = int(begun)
        expect(lines, f"the audit ends with line {sequence}, and {told} were told of")
        for line in lines:
            found = loads(line)
            whose = (found["format"], found["agreement"], found["before"], found["sequence"])
            expect(whose == (1, visit.partner.agreement.id, before, sequence + 1), "the audit chain is broken")
            before, sequence = digest(line), found["sequence"]
            given.add(found["page"])
            expect(sequence != int(told) or before == hash_, "the head that was told is not of this chain")
    if int(told) < 2:
        raise NotTried("the chain is as it must be; nothing of this visit is written yet")
    expect(digest(first.content) in given, "the audit does not name the head that was given before")


async def witnessed(visit: Visit) -> None:
    """Heads that it has seen of others are given where that is agreed, and not where it is not."""
    partner = visit.partner
    answer = await visit.read(f"v1/heads/{partner.thumbprint}")
    if partner.agreement.witness:
        expect(len(lines_of(answer)) <= 10, "there are more than 10 heads")
    else:
        expect(answer.status_code >= 400, "heads are given, which was not agreed")


async def _fits_catalogue(visit: Visit, entry: PublicationEntry, body: bytes) -> None:
    answer = await visit.get(f"v1/catalogues/{entry.catalogue}")
    expect(answer.status_code == HTTPStatus.OK, f"the catalogue of an entry answers with {answer.status_code}")
    expect(digest(answer.content) == entry.catalogue, "the catalogue is not the one that the entry names")
    defined = MetricCatalogue.model_validate_json(answer.content)
    found = Publication.model_validate_json(body)
    areas = {area.number for area in defined.areas}
    expect(found.unit == defined.smallest_unit, f"a body is in {found.unit}, not in {defined.smallest_unit}")
    strange = [cell for cell in found.cells if cell.area not in areas or cell.class_ not in defined.classes]
    expect(not strange, "a body has a cell that its catalogue does not have")


async def _same_by_hash(visit: Visit, entry: PublicationEntry, line: bytes) -> None:
    answer = await visit.read(f"v1/bodies/{entry.body}")
    expect(answer.status_code == HTTPStatus.OK, f"a body by its hash answers with {answer.status_code}")
    json_of(answer)
    expect(answer.content == line, "a body by its hash is not the one of the page")
    await not_modified(visit, f"v1/bodies/{entry.body}")


CHECKS = (
    head,
    chains,
    windows,
    pages,
    bad_parameters,
    bodies,
    absent_bodies,
    other_metrics,
    series,
    audit,
    witnessed,
)
