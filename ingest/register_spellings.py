"""Spellings in the register that are one id, or may be: finding them, and making them one.

A register that was loaded before ids had a normal form (`ingest.identity`) may hold one customer in several spellings,
each of which counts as a contributor. Making them one is a change of their sources, so it holds from a window on that
has not begun (`ingest.register_changes`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from ingest.cities import City
from ingest.identity import normal, normals, skeletons
from ingest.register_changes import changes_hold_from
from ingest.register_file import write_register
from ingest.register_table import COLUMNS
from schemas.catalogue import catalogue
from store import unification as stored
from store.database import Connection
from store.source_history import NEVER_MS
from store.spellings import Spellings, numbered
from store.texts import Texts
from store.unification import Spelled

Kind = Literal["contributor", "source"]

_TABLES: Mapping[Kind, str] = {"contributor": "contributors", "source": "sources"}


@dataclass(frozen=True, slots=True)
class SpellingGroup:
    """Ids that are one, or may be: `numbers` and `spellings` of equal length. `same`: their normal forms are equal.

    A group of one is an id that is not in its normal form.
    """

    kind: Kind
    same: bool
    numbers: Sequence[int]
    spellings: Sequence[str]

    @property
    def kept(self) -> int:
        """The number that stays: of the spelling that is the normal form already, else of the first."""
        usual = (n for n, text in zip(self.numbers, self.spellings, strict=True) if normal(text) == text)
        return min(usual, default=min(self.numbers))

    @property
    def text(self) -> str:
        """The spelling that stays."""
        return normal(self.spellings[self.numbers.index(self.kept)])


@dataclass(frozen=True, slots=True)
class Unified:
    """What was made one: groups of each kind, rows of sources that changed, and groups that could not be joined."""

    contributors: int
    sources: int
    rows: int
    left: Sequence[SpellingGroup]
    holds_from_ms: Mapping[str, int]


def spelling_groups(connection: Connection, now_ms: int) -> Sequence[SpellingGroup]:
    """All ids that are not in their normal form or nearly equal to others, contributors first.

    Left out are contributors that are one with another already, and sources without a row that is valid at `now_ms` or
    later, milliseconds since 1970.
    """
    return [group for kind in _TABLES for group in _groups(connection, kind, now_ms)]


def unify(
    connection: Connection,
    city: City,
    clock: Callable[[], int],
    *,
    nearly: bool = False,
    rows_to: Path | None = None,
) -> Unified:
    """Make spellings of one id one, in one transaction; with `nearly` also ids that are nearly equal.

    `rows_to` gets all rows of the sources that changed, as a register file. `clock` gives milliseconds since 1970.
    """
    with connection.transaction():
        stored.lock(connection)
        before = stored.position(connection)
        groups = [group for group in spelling_groups(connection, clock()) if group.same or nearly]
        holds_from = {
            name: changes_hold_from(catalogue()[name], clock(), city.zone) for name in stored.metrics(connection)
        }
        contributors = [group for group in groups if group.kind == "contributor"]
        for group in contributors:
            stored.merge_contributors(connection, group.kept, group.numbers, group.text)
        rows = stored.move_sources(connection, holds_from)
        sources = [group for group in groups if group.kind == "source"]
        left = [group for group in sources if not _join_sources(connection, group, holds_from)]
        if rows_to is not None:
            _write(connection, rows_to, before, city.zone)
    return Unified(len(contributors), len(sources) - len(left), rows, left, holds_from)


def _groups(connection: Connection, kind: Kind, now_ms: int) -> Sequence[SpellingGroup]:
    table = _TABLES[kind]
    found = Spellings(lambda ids: Texts.of(skeletons(normals(ids.strings()))))
    first: dict[str, int] = {}
    for numbers, ids in numbered(connection, table):
        found.add(Texts.of(ids), numbers)
        if not "".join(ids).isascii() or any(text != text.strip() for text in ids):
            for number, text in zip(numbers.tolist(), ids, strict=True):
                if normal(text) != text:
                    first.setdefault(text, number)
    alike = [[labels[0] for labels in group] for group in found.groups()]
    texts = stored.current(connection, table, [*(n for group in alike for n in group), *first.values()], now_ms)
    groups: list[SpellingGroup] = []
    for members in alike:
        by_form: dict[str, list[int]] = defaultdict(list)
        for number in members:
            if number in texts:
                by_form[normal(texts[number])].append(number)
        same = [_group(kind, numbers, texts, same=True) for numbers in by_form.values()]
        groups += [group for group in same if len(group.numbers) > 1]
        if len(same) > 1:
            groups.append(_group(kind, [group.kept for group in same], texts, same=False))
    together = {text for group in groups if group.same for text in group.spellings}
    alone = [n for text, n in first.items() if n in texts and text not in together]
    return groups + [_group(kind, [number], texts, same=True) for number in alone]


def _group(kind: Kind, numbers: Sequence[int], texts: Mapping[int, str], *, same: bool) -> SpellingGroup:
    return SpellingGroup(kind, same, sorted(numbers), [texts[number] for number in sorted(numbers)])


def _join_sources(connection: Connection, group: SpellingGroup, holds_from_ms: Mapping[str, int]) -> bool:
    """Make spellings of a source one, where rows of different spellings agree; whether they did, for every metric."""
    own = group.spellings[group.numbers.index(group.kept)]
    rows: dict[str, list[Spelled]] = defaultdict(list)
    for row in stored.rows_of(connection, group.spellings):
        rows[row.metric].append(row)
    plans = [_plan(of_metric, own, holds_from_ms[metric]) for metric, of_metric in rows.items()]
    if None in plans:
        return False
    for (metric, of_metric), plan in zip(rows.items(), plans, strict=True):
        ended = plan or []
        stored.end_sources(connection, ended, holds_from_ms[metric])
        kept = of_metric if not _overlap(of_metric) else [row for row in of_metric if row.source == own]
        stored.rename_sources(connection, [row.number for row in kept], group.text)
    return True


def _plan(rows: Sequence[Spelled], own: str, at_ms: int) -> Sequence[int] | None:
    """The rows of other spellings of a source that end at a time so that only its `own` is valid from then on.

    None if that would change who the contributor is, or leave the source without a row.
    """
    if not _overlap(rows):
        return []
    lasting = [row for row in rows if row.ends_ms is None or row.ends_ms > at_ms]
    others = [row for row in lasting if row.source != own]
    mine = [row for row in lasting if row.source == own]
    agree = {row.contributor for row in others} <= {row.contributor for row in mine}
    begun = all(row.begins_ms < at_ms for row in lasting)
    return [row.number for row in others] if agree and begun and (mine or not others) else None


def _overlap(rows: Sequence[Spelled]) -> bool:
    """Whether two of these rows, which are in the order of their beginnings, are valid at the same time."""
    latest = -1
    for row in rows:
        if row.begins_ms < latest:
            return True
        latest = max(latest, NEVER_MS if row.ends_ms is None else row.ends_ms)
    return False


def _write(connection: Connection, path: Path, before: tuple[int, int], zone: str) -> None:
    clock = ZoneInfo(zone)
    write_register(
        path,
        (
            dict(
                zip(
                    COLUMNS,
                    (*texts, begins.astimezone(clock).isoformat(), ends.astimezone(clock).isoformat() if ends else ""),
                    strict=True,
                )
            )
            for *texts, begins, ends in stored.changed_since(connection, before)
        ),
    )
