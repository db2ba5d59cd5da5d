"""No answer contains what must stay inside (P2): counts of contributors and readings, the largest, their sum."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.own.app import create_own_api
from store.database import connect
from store.moments import moment
from tests.federation.city import HOUR, IMPORT, ISFAHAN, LOCAL, T0, TOPIC, found_areas, open_topic, pass_time, register
from tests.publishing import publish_hour

pytestmark = pytest.mark.services

SOURCES = 211
SECRETS = {
    "readings": 7_103_001,
    "contributors": 7_103_003,
    "largest": 7_103_007,
    "absolute": 71_030_090_000,
    "covered_ms": 7_103_011,
    "first_offset": 7_103_013,
    "last_offset": 7_103_017,
}
SUPPRESSED_VALUE = 7_103_019
RELEASED_VALUE = 7_103 * IMPORT.base
EXACT_VALUE = RELEASED_VALUE + 7_103_023
PATHS = [
    "/v1/catalog",
    f"/v1/series/{IMPORT.name}",
    f"/v1/series/{IMPORT.name}?class=commercial",
    "/v1/nothing",
    "/openapi.json",
    "/healthz",
]


@pytest.fixture
def api(database_url: str) -> Iterator[TestClient]:
    with connect(database_url) as connection:
        areas = found_areas(connection, [1000, 2000, 3000])
        register(connection, 0, "residential", SOURCES)
        open_topic(connection)
        for class_, contributors, value in (
            ("residential", SECRETS["contributors"], EXACT_VALUE),
            ("commercial", 13, SUPPRESSED_VALUE),
        ):
            connection.execute(
                "INSERT INTO cells VALUES (%s, %s, %s, %s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, false)",
                (
                    *(IMPORT.name, moment(T0), moment(T0 + HOUR), areas[0], class_, TOPIC, value),
                    *(SECRETS | {"contributors": contributors}).values(),
                ),
            )
        pass_time(connection, T0 + HOUR + IMPORT.lateness_ms)
        assert publish_hour(connection, IMPORT, TOPIC, T0).released == 1
    with TestClient(create_own_api(ISFAHAN, database_url), base_url=LOCAL) as client:
        yield client


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield name, None
            yield from walk(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, key)
    else:
        yield key, node


def test_no_answer_holds_a_number_that_must_stay_inside(api: TestClient) -> None:
    hidden = {*SECRETS.values(), SUPPRESSED_VALUE, EXACT_VALUE, SOURCES, 13}
    numbers: set[object] = set()
    for path in PATHS:
        for name, value in walk(api.get(path).json()):
            assert value not in hidden or isinstance(value, bool), f"{path} tells {value} as {name}"
            if isinstance(value, str):
                assert not any(str(secret) in value for secret in hidden if secret > 1000), f"{path}: {value}"
            numbers.add(value if isinstance(value, int) else None)
    assert RELEASED_VALUE in numbers  # the walk finds what is released, so it would find the rest


def test_only_the_text_of_the_rule_names_what_must_stay_inside(api: TestClient) -> None:
    for path in PATHS:
        names = {name for name, _ in walk(api.get(path).json())}
        assert not names & {
            *SECRETS,
            "contributors_count",
            "count",
            "readings",
            "sources_count",
            "partition",
        }


def test_all_suppressed_cells_look_the_same(api: TestClient) -> None:
    cells = api.get(f"/v1/series/{IMPORT.name}").json()["windows"][0]["cells"]
    kept_in = [cell for cell in cells if cell["status"] == "suppressed"]
    assert len(kept_in) == 5
    assert {tuple(cell) for cell in kept_in} == {("area", "class", "status", "rule")}
