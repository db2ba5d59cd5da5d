"""The views that every read of a partner passes through, against an oracle that decides publication by publication."""

import random

import pytest

from store.database import Connection, connect
from tests.federation.agreements.matrix import METRICS, Agreed, World, generated
from tests.soak import amount, soak

pytestmark = pytest.mark.services

AGREEMENTS = 14
VIEWS = ("agreed_entries", "agreed_bodies", "agreed_cells", "agreed_pages")


def expected(world: World, agreed: Agreed, metric: str, view: str) -> set[tuple]:
    """The rows of a view that an agreement opens of a metric."""
    if view == "agreed_entries":
        return {(each.header.position, each.entry) for each in world.entries(agreed, metric)}
    bodies = world.bodies(agreed, metric)
    if view == "agreed_pages":
        grant, opened = world.given(agreed, metric), {each.header.position for each in bodies}
        here = [each for each in bodies if not each.erased]
        return {(each.header.sequence, each.hash, len(each.body), True, False) for each in here} | {
            (each.header.sequence, each.hash, None if each.erased else len(each.body), False, True)
            for each in world.entries(agreed, metric)
            if each.header.position not in opened and each.header.window.start >= grant.since
        }
    if view == "agreed_bodies":
        return {(each.header.position, None if each.erased else each.body) for each in bodies}
    return {(each.header.position, area, each.shown(area)) for each in bodies for area in each.figures}


QUERIES = {
    "agreed_entries": "SELECT position, entry FROM agreed_entries WHERE agreement = %s AND metric = %s",
    "agreed_bodies": "SELECT position, body FROM agreed_bodies WHERE agreement = %s AND metric = %s",
    "agreed_cells": "SELECT position, area, agreed_cells.value FROM agreed_cells"
    " JOIN publications USING (position) WHERE agreement = %s AND metric = %s",
    "agreed_pages": "SELECT sequence, name, size, readable, awaited FROM agreed_pages"
    " WHERE agreement = %s AND metric = %s AND (readable OR awaited)",
}


def opened(connection: Connection, agreed: Agreed, metric: str, view: str) -> set[tuple]:
    return set(connection.execute(QUERIES[view], (agreed.id, metric)).fetchall())


@soak
def test_nothing_beyond_the_agreement_is_in_the_views_and_all_of_it_is(database_url: str):
    cases, first = 0, amount(19, soak=random.randrange(2**32))
    print(f"the first seed is {first}")
    with connect(database_url) as connection:
        for seed in range(first, first + amount(3, soak=60)):
            with connection.transaction(force_rollback=True):
                world = generated(connection, seed, AGREEMENTS)
                for agreed in world.agreements:
                    for metric in METRICS:
                        for view in VIEWS:
                            found = opened(connection, agreed, metric, view)
                            wanted = expected(world, agreed, metric, view)
                            assert found == wanted, f"seed {seed}, {agreed}, {metric}, {view}"
                            cases += 1
    assert cases == amount(3, soak=60) * AGREEMENTS * len(METRICS) * len(VIEWS)
