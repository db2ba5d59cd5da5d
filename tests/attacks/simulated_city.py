"""What a small city publishes in a quarter, by the product's own pure functions, with all that can happen to it.

Readings come late in the ways that matter: one customer's, a few customers', a district's. Windows have gaps, a backup
is restored, a window is withdrawn, areas are drawn anew. A `Policy` is what decides; a test breaks one of its parts.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache

import numpy as np

from federation.disclosure.precision import rounded
from federation.disclosure.revisions import revised
from federation.disclosure.rules import passes, rule_in_force
from federation.disclosure.standing import decide, is_open, judge, measure, month_of
from ingest.area_pieces import Version
from ingest.areas import partition, standards
from ingest.redraw import RedrawRefused, choose
from schemas.catalogue import catalogue
from store.areas import Area
from store.corrections import CorrectedCell
from store.processing import Amounts, Cell
from store.publications import Window
from store.standing import Standing
from tests.attacks.figures import Figure, Knowledge, Place, Status, Unknown
from tests.attacks.simulated_town import HOUR, Town

METRIC = catalogue()["energy.import"]
MINIMUM = {"residential": 100, "commercial": 15}
PERCENT = 15
"""The bars that no attacker may get below, as the rule's text has them."""

REDRAWN = 24 * 62
"""The hour from which new areas hold, if there are any."""

STEPS = 3
"""At first, and at two steps of the schedule."""

PlaceKey = tuple[int, str]
"""Area and class."""

_MEASURED = 24 * 8
_KEPT = 97


Revise = Callable[..., list[CorrectedCell]]
"""Chooses the cells that a revision shows anew, as `federation.disclosure.revisions.revised` does."""


def redrawn(town: Town, history: Sequence[Version]) -> Sequence[Area] | None:
    """The areas that the product takes after those of `history`, or None if it refuses to draw any."""
    try:
        return choose(town.city, METRIC, history, town.counts(REDRAWN))[0]
    except RedrawRefused:
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides. Each default is the product's.

    `passes`: whether the amounts of a cell of a class may be shown. `revised`: which cells show what late readings have
    made of them. `areas`: those to take after some versions, or None to keep them. `again`: whether what was lost in a
    restore is published anew. `imported`: the hours of an import of the past that are published. `totals`: whether the
    sum over the cells of a class is published as well, as area 0.
    """

    passes: Callable[[str, Amounts], bool] = lambda class_, amounts: passes(rule_in_force(METRIC), class_, amounts)
    revised: Revise = revised
    rounded: Callable[[int], int] = lambda value: rounded(value, METRIC.base)
    areas: Callable[[Town, Sequence[Version]], Sequence[Area] | None] = redrawn
    again: bool = False
    imported: range = range(-24 * 31, -24 * 30)
    totals: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to an hour. `late`: the step at which each customer's readings come, 0 for in time.

    `gap`: it is incomplete at first. `lost`: its publication is lost in a restore. `withdrawn`: after its first values.
    """

    late: np.ndarray
    gap: bool = False
    lost: bool = False
    withdrawn: bool = False


@dataclass
class Published:
    """All that left the city; `members` and `amounts` only of the hours that were kept to be looked at closely.

    `worst`: of each class the fewest contributors in any figure, and the greatest share of one, over all hours.
    """

    figures: list[Figure] = field(default_factory=list)
    members: dict[tuple[Place, int], frozenset[Unknown]] = field(default_factory=dict)
    amounts: dict[Unknown, int] = field(default_factory=dict)
    fewest: dict[str, int] = field(default_factory=dict)
    share: dict[str, Fraction] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)

    def note(self, class_: str, amounts: np.ndarray) -> None:
        """Remember who is in a figure, if it is one of the worst so far."""
        share = Fraction(int(amounts.max()), int(amounts.sum()))
        self.fewest[class_] = min(self.fewest.get(class_, len(amounts)), int(np.count_nonzero(amounts)))
        self.share[class_] = max(self.share.get(class_, share), share)

    def kept(self) -> list[Figure]:
        """The figures of the hours that were kept."""
        return [figure for figure in self.figures if (figure.place, figure.revision) in self.members]

    def knowledge(
        self, town: Town, own: Mapping[Unknown, int] | None = None, *, changes_pass: bool = True
    ) -> Knowledge:
        """What an attacker may know besides: who is in which figure, everybody's capacity, and his own use.

        `changes_pass`: what changes from a revision to another passes the rule, as the product promises.
        """
        return Knowledge(
            self.members,
            dict(enumerate(town.most.tolist())),
            own or {},
            {METRIC.name: METRIC.base},
            lambda metric, class_: PERCENT,
            changes_pass=changes_pass,
        )


class SimulatedCity:
    """Publishes the hours of a quarter, one after the other."""

    def __init__(self, town: Town, policy: Policy) -> None:
        self._town = town
        self._policy = policy
        self._published = Published()
        self._measured: list[tuple[Window, list[Cell]]] = []
        self._standing: Standing | None = None
        self._draw(partition(town.city, town.counts(0), standards(METRIC)), 0)

    def publish(self, hours: range) -> Published:
        """Publish these hours, with what happens in them. The days before were measured, and not published.

        An import of the past is published at the end: a meter is missing in its files.
        """
        for hour in range(hours.start - _MEASURED, hours.start):
            self._measure(hour)
        self._decide(hours.start)
        for hour in hours:
            if hour == REDRAWN:
                self._redraw()
            if (
                self._town.window(hour).start == month_of(self._town.window(hour).start, self._town.city.zone).start
                or hour == REDRAWN + _MEASURED
            ):
                self._decide(hour)
            self._publish(hour, event(self._town, hour))
        for hour in self._policy.imported:
            self._publish_without_one(hour, 0 if hour < hours.start else STEPS + 1)
        return self._published

    def _begins_a_month(self, hour: int) -> bool:
        start = self._town.window(hour).start
        return start == month_of(start, self._town.city.zone).start

    def _draw(self, areas: Sequence[Area], hour: int) -> None:
        """Let these areas hold from now on. `_place` is the number of each customer's cell."""
        ids = [district.id for district in self._town.city.districts]
        first = 1 + sum(len(version.areas) for version in self._published.versions)
        of_district = {id_: first + index for index, area in enumerate(areas) for id_ in area.districts}
        area = np.array([of_district[id_] for id_ in ids])[self._town.district]
        self._places = [(first + index, class_) for index in range(len(areas)) for class_ in MINIMUM]
        number = {place: index for index, place in enumerate(self._places)}
        self._place = np.array([number[a, c] for a, c in zip(area.tolist(), self._town.class_.tolist(), strict=True)])
        self._published.versions.append(Version(areas, self._town.counts(hour)))

    def _redraw(self) -> None:
        areas = self._policy.areas(self._town, self._history())
        if areas is not None:
            self._draw(areas, REDRAWN)
            self._measured.clear()
            self._decide(REDRAWN)

    def _history(self) -> list[Version]:
        """The versions, each with the customers that it had in its last hour."""
        return [Version(version.areas, self._town.counts(REDRAWN - 1)) for version in self._published.versions]

    def _measure(self, hour: int) -> None:
        self._measured.append((self._town.window(hour), self._cells(hour, self._town.active(hour))))

    def _decide(self, hour: int) -> None:
        """Open cells for a month, by what was measured."""
        zone, begins = self._town.city.zone, self._town.window(hour).start
        found = measure(METRIC, self._measured, self._policy.passes, zone)
        span = Window(min((window.start for window, _ in self._measured), default=begins), begins)
        period = Window(begins, month_of(begins, zone).end)
        registered = Counter(self._places[index] for index in self._place[self._town.active(hour)].tolist())
        decision = decide(METRIC, self._places, period, zone, span, found, registered)
        opened = frozenset((cell.area, cell.class_) for cell in decision.cells if cell.open)
        self._standing = Standing(period, opened, decision.times, decision.basis)

    def _cells(self, hour: int, counted: np.ndarray, *, incomplete: bool = False) -> list[Cell]:
        values = np.where(counted, self._town.amounts(hour), 0)
        count = len(self._places)
        total = np.bincount(self._place, values, count).astype(np.int64).tolist()  # exact below 2^53
        contributors = np.bincount(self._place[values != 0], minlength=count).tolist()
        readings = np.bincount(self._place[counted], minlength=count).tolist()
        largest = np.zeros(count, np.int64)
        np.maximum.at(largest, self._place, values)
        window = self._town.window(hour)
        found = []
        for place, value, read, many, most in zip(
            self._places, total, readings, contributors, largest.tolist(), strict=True
        ):
            if read:
                amounts = Amounts(value, read, many, most, value, HOUR * read, 0, 0)
                found.append(Cell(METRIC.name, window.start, window.end, *place, amounts, incomplete))
        return found

    def _publish(self, hour: int, happens: Event) -> None:
        """The publications of one hour: the first, its revisions, and what comes after."""
        kept = hour % _KEPT == 0 or happens.gap or happens.lost or happens.withdrawn or bool(happens.late.any())
        revision = 0
        if happens.gap:
            self._hide(hour, self._places, revision, "incomplete")
            revision += 1
        counted = self._town.active(hour) & (happens.late == 0)
        cells = self._cells(hour, counted)
        opened = is_open(METRIC, self._standing, self._town.window(hour), self._town.city.zone)
        judged = judge(opened, cells, self._policy.passes)
        self._measured.append((self._town.window(hour), cells))
        self._close(judged.failed)
        self._hide(hour, [place for place in self._places if place not in judged.released], revision)
        shown = {(cell.area, cell.class_): cell for cell in cells if (cell.area, cell.class_) in judged.released}
        for cell in shown.values():
            self._show(hour, revision, cell, counted, kept=kept)
        if self._policy.totals:
            self._add_totals(hour, revision, counted, kept=kept)
        if happens.late.any():
            self._correct(hour, happens, revision, shown)
        if happens.withdrawn:
            self._hide(hour, self._places, STEPS + 1, "withdrawn")
        if happens.lost and self._policy.again:
            self._publish_without_one(hour, STEPS + 1)

    def _correct(self, hour: int, happens: Event, revision: int, first: Mapping[PlaceKey, Cell]) -> None:
        """The revisions of an hour: at each step, what the late readings have made of its cells."""
        active, used = self._town.active(hour), self._town.amounts(hour)
        shown = {place: self._policy.rounded(cell.amounts.value) for place, cell in first.items()}
        released: dict[PlaceKey, set[int]] = {place: {0} for place in first}
        for step in range(1, STEPS):
            if not (happens.late == step).any():
                continue
            corrected = []
            for cell in self._cells(hour, active & (happens.late <= step)):
                here = active & self._in((cell.area, cell.class_)) & (happens.late <= step)
                changes = {since: _sums(used[here & (happens.late > since)]) for since in range(step)}
                corrected.append(CorrectedCell(cell.area, cell.class_, cell.amounts, incomplete=False, changes=changes))
            for again in self._policy.revised(shown, corrected, released, self._policy.passes, self._figure):
                place = (again.area, again.class_)
                released[place].add(step)
                shown[place] = self._policy.rounded(again.amounts.value)
                cell = replace(first[place], amounts=again.amounts)
                self._show(hour, revision + step, cell, active & (happens.late <= step), kept=True)

    def _figure(self, cell: CorrectedCell) -> int:
        return self._policy.rounded(cell.amounts.value)

    def _in(self, place: PlaceKey) -> np.ndarray:
        """Which customers are in a cell."""
        return self._place == self._places.index(place)

    def _publish_without_one(self, hour: int, revision: int) -> None:
        """An hour from other files, or with another register: the home that used most is missing."""
        counted = self._town.active(hour)
        homes = np.where(counted & (self._town.class_ == "residential"), self._town.amounts(hour), 0)
        counted[homes.argmax()] = False
        for cell in self._cells(hour, counted):
            if self._policy.passes(cell.class_, cell.amounts):
                self._show(hour, revision, cell, counted, kept=True)

    def _add_totals(self, hour: int, revision: int, counted: np.ndarray, *, kept: bool) -> None:
        window = self._town.window(hour)
        for class_ in MINIMUM:
            of_class = _sums(self._town.amounts(hour)[counted & (self._town.class_ == class_)])
            if self._policy.passes(class_, of_class):
                cell = Cell(METRIC.name, window.start, window.end, 0, class_, of_class, incomplete=False)
                self._show(hour, revision, cell, counted, kept=kept)

    def _close(self, failed: frozenset[PlaceKey]) -> None:
        assert self._standing is not None
        self._standing = replace(self._standing, open=self._standing.open - failed)

    def _hide(self, hour: int, places: Sequence[PlaceKey], step: int, status: Status = "suppressed") -> None:
        start = self._town.window(hour).start
        for area, class_ in places:
            self._published.figures.append(Figure(Place(METRIC.name, start, area, class_), step, status))

    def _show(self, hour: int, step: int, cell: Cell, counted: np.ndarray, *, kept: bool) -> None:
        """A released figure, made of those customers of the cell that were counted; area 0 is the whole city."""
        who = counted & (self._in((cell.area, cell.class_)) if cell.area else self._town.class_ == cell.class_)
        place = Place(METRIC.name, cell.window_start, cell.area, cell.class_)
        value = self._policy.rounded(cell.amounts.value)
        self._published.figures.append(Figure(place, step, "released", value, "high"))
        own = self._town.amounts(hour)[who]
        self._published.note(cell.class_, own)
        if kept:
            parts = event(self._town, hour).late[who]
            found = {
                Unknown(customer, METRIC.name, place.start, part): amount
                for customer, part, amount in zip(
                    np.flatnonzero(who).tolist(), parts.tolist(), own.tolist(), strict=True
                )
                if amount
            }
            self._published.members[place, step] = frozenset(found)
            self._published.amounts |= found


def _sums(amounts: np.ndarray) -> Amounts:
    total = int(amounts.sum())
    return Amounts(total, len(amounts), int(np.count_nonzero(amounts)), int(amounts.max(initial=0)), total, 0, 0, 0)


@cache
def event(town: Town, hour: int) -> Event:
    """What happens in an hour: three times a day something does, and everything within four days."""
    rng = np.random.default_rng([town.seed, 5, hour + 10_000])
    late = np.zeros(town.customers, np.int64)
    homes, shops = rng.permutation(town.residential), town.residential + rng.permutation(town.commercial)
    one = int(np.where(town.active(hour), town.mean, 0)[: town.residential].argmax())  # the home that uses most
    match hour // 8 % 12 if hour % 8 == 3 else None:
        case 0:
            late[one] = 1
        case 1:
            late[town.factory] = 1
        case 2:  # too few at first, then enough with those before
            late[homes[:150]], late[homes[150:700]] = 1, 2
        case 3:  # enough in every area, then one more
            late[homes[: town.residential // 2]], late[one] = 1, 2
        case 4:  # enough twice
            late[homes[: town.residential // 3]], late[homes[-town.residential // 3 :]] = 1, 2
        case 5:
            late[shops[: town.commercial // 2]] = 1
        case 6:  # a crowd of shops, and the factory beside them
            late[shops[: town.commercial // 2]], late[town.factory] = 1, 1
        case 7:
            return Event(late, gap=True)
        case 8:
            late[one] = 2
            return Event(late, gap=True)
        case 9:
            late[homes[: town.residential // 2]] = 1
            return Event(late, withdrawn=True)
        case 10 | 11:
            return Event(late, lost=True)
    return Event(late)
