"""Two cities in containers on one machine, from their keys to figures of each other, by TLS and under an agreement.

The tests of this file run in their order on the two cities. The commands are those of docs/partner.md and of
docs/operator.md ("To exchange with other cities").
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest

from node.demo.certificates import Authority
from tests.containers.city import PATIENCE_S, run
from tests.containers.neighbour import NODE, Keys, Neighbour
from tests.waiting import until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to user 10001 (`sudo install -o 10001`): run it as root"),
]

CITIES = ("isfahan", "ho-chi-minh-city")
NETWORK = "sistercity-neighbours"
KILLS = int(os.environ.get("SISTERCITY_KILLS", "12"))
LASTING = ("kafka", "postgres", "process", "correct", "serve", "serve-partners", "pull", "ingest", "publish")
TWIN = "SISTERCITY_DATABASE_URL=postgresql://sistercity@postgres/twin SISTERCITY_LEDGER=/tmp/twin.jsonl"
CATCH_UP = f"""
set -e
sistercity process --until-caught-up
export {TWIN}
sistercity process --until-caught-up
sistercity publish --since yesterday --once
sistercity correct --once
"""
LOSE_LEDGER = f"""
export {TWIN}
sistercity publish --resume-after-loss
"""
CELLS = """
SELECT md5(string_agg(concat_ws(' ', metric, window_start, area, class, value, readings, contributors, largest), ','
    ORDER BY metric, window_start, area, class)) FROM cells
"""
ALL_READ = """
SELECT (SELECT sum(next_offset) FROM stream_offsets) >= sum(reached)
    FROM (SELECT max(last_offset) + 1 AS reached FROM deliveries GROUP BY topic, partition) AS ends
"""
ACCOUNT = """
SELECT sum(messages), sum(readings), sum(aggregated), sum(duplicate), sum(late), sum(rejected), sum(open), sum(lost),
    bool_and(readings = aggregated + duplicate + late + rejected + open + lost) FROM stream_offsets
"""
PUBLISHED = """
SELECT md5(string_agg(concat_ws(' ', metric, sequence, kind, window_start, window_end, revision, published_at, area,
        class, status, value, coverage, rule), ',' ORDER BY metric, sequence, area, class)),
    count(value) > 0, count(DISTINCT position) FROM publications JOIN published_cells USING (position) WHERE {}
"""
HOLES = """
SELECT count(*) FROM
    (SELECT window_start, lag(window_end) OVER (PARTITION BY metric ORDER BY window_start) AS until
        FROM publications WHERE kind = 'publication') AS windows
    WHERE until <> window_start
"""
THIRD = "SISTERCITY_DATABASE_URL=postgresql://sistercity@postgres/third"
ASK = """
set -e
export SISTERCITY_CITY=/var/lib/sistercity/identity/hue.toml
cd /var/lib/sistercity/identity
sistercity migrate
sistercity identity import identity.jws --own
sistercity agreement install agreement.json
sistercity pull
"""


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Neighbour]]:
    folder = tmp_path_factory.mktemp("neighbours")
    made = run(["docker", "network", "create", NETWORK], folder).returncode == 0
    cities = {city: Neighbour(city, folder / city) for city in CITIES}
    yield cities
    for city in cities.values():
        city.remove()
    if made:
        run(["docker", "network", "rm", NETWORK], folder)


def test_two_cities_make_their_keys_and_agree(neighbours, tmp_path):
    authority = Authority(tmp_path, datetime.now(UTC))
    ours, theirs = neighbours.values()
    for each in (ours, theirs):
        each.configure()
        each.make_keys(authority)
    ours.do("build", "migrate")
    proposal, agreement = tmp_path / "proposal.json", tmp_path / "agreement.json"
    terms = ("--give", "energy.import", "--receive", "energy.import", "--out", str(proposal))
    ours.keys.sistercity("agreement", "propose", str(theirs.keys.identity), *terms)
    theirs.keys.sistercity("agreement", "accept", str(proposal), "--yes", "--out", str(agreement))
    _in_both(neighbours, lambda city: city.let_partners_in(agreement))


def test_containers_of_both_are_killed_while_a_day_is_replayed_and_a_twin_publishes_the_same(neighbours):
    """Whatever is killed, the log says what is right: an undisturbed twin of each city reads it, and publishes."""
    ours, theirs = neighbours.values()
    chance, early = random.Random(20), 3 * KILLS // 4
    _in_both(neighbours, _begin)
    for name in _drawn(chance, [name for name in LASTING if name != "publish"], early):
        chance.choice((ours, theirs)).kill(name, PATIENCE_S)
    _in_both(neighbours, lambda city: city.start_until_healthy("--scale", "publish=0"))
    _in_both(neighbours, _await_all_read)
    # A node that replays a day begins to publish when the replay is processed.
    _in_both(neighbours, lambda city: city.do("up", "--detach", "--no-build", "--no-deps", "publish"))
    for name in _drawn(chance, ["publish", "postgres", "publish"], KILLS - early):
        chance.choice((ours, theirs)).kill(name, PATIENCE_S)
    _in_both(neighbours, Neighbour.start_until_healthy)
    _in_both(neighbours, _assert_same_as_undisturbed)


def test_each_city_has_and_has_verified_what_the_other_has_published(neighbours):
    ours, theirs = neighbours.values()
    for each, partner in ((ours, theirs), (theirs, ours)):
        until(partial(each.finds_fresh, partner.city), f"{each.city} has verified {partner.city}", PATIENCE_S, 2)
        until(partial(_holds_all, each, partner), f"{each.city} holds all of {partner.city}", PATIENCE_S, 2)
        each.do(*NODE, "verify")
        assert "0 are lost" in each.do(*NODE, "pull", "--lost-bodies")


def test_the_same_goes_by_file(neighbours, tmp_path):
    ours, theirs = neighbours.values()
    assert run(["install", "-d", "-o", "10001", str(tmp_path / "bundles")], tmp_path).returncode == 0
    node = (*NODE[:-1], "--volume", f"{tmp_path / 'bundles'}:/bundles", "cli")
    agreement = ours.sql("SELECT DISTINCT id FROM agreements")
    said = ours.do(*node, "export-bundle", agreement, "/bundles/isfahan.tar")
    taken = theirs.do(*node, "import-bundle", "/bundles/isfahan.tar")
    assert "isfahan: " in taken, said


def test_a_third_city_whose_agreement_is_not_installed_gets_nothing(neighbours, tmp_path):
    """Isfahan has signed an agreement with it, and has not let it in; it asks with all that it has."""
    ours, theirs = neighbours.values()
    file = tmp_path / "hue.toml"
    file.write_text((ours.folder / "ingest/cities/isfahan.toml").read_text().replace('id = "isfahan"', 'id = "hue"'))
    file.chmod(0o644)
    third = Keys(str(file), tmp_path / "keys")
    third.sistercity("identity", "create", "--contact", "exchange@hue.example", "--address", "https://hue.example")
    proposal, agreement = tmp_path / "proposal.json", tmp_path / "agreement.json"
    third.sistercity(
        "agreement", "propose", str(ours.keys.identity), "--receive", "energy.import", "--out", str(proposal)
    )
    ours.keys.sistercity("agreement", "accept", str(proposal), "--yes", "--out", str(agreement))
    given = ["install", "-o", "10001", "-m", "600", str(agreement), str(file), str(third.folder)]
    for command in (given, ["chown", "-R", "10001", str(third.folder)]):
        assert run(command, tmp_path).returncode == 0
    theirs.sql("CREATE DATABASE third")
    mounted = ("--volume", f"{third.folder}:/var/lib/sistercity/identity:ro", "--env", THIRD)
    asked = theirs.compose("run", "--rm", "--no-TTY", *mounted, "--entrypoint", "sh", "cli", "-c", ASK)
    assert "installed" in asked.stdout, asked.stderr
    assert asked.returncode == 1
    assert "isfahan gives no token (401" in asked.stderr, asked.stderr
    assert theirs.sql("SELECT count(*) FROM partner_entries", "third") == "0"


def test_an_upgrade_role_by_role_fails_no_pull_of_the_partner_and_leaves_no_slot_out(neighbours):
    ours, theirs = neighbours.values()
    ours.start_until_healthy()
    theirs.do("up", "--detach", "--wait", "--no-build", "publish", "serve-partners", "pull")
    before = theirs.pulls()
    with (ours.folder / "node" / "__init__.py").open("a") as file:
        file.write("# another version\n")
    ours.do("build", "migrate")
    ours.do("run", "--rm", "--no-TTY", "migrate")
    for role in ("serve", "serve-partners", "publish", "pull", "process", "correct", "ingest"):
        asked = sum(theirs.pulls().values())
        ours.do("up", "--detach", "--wait", "--no-deps", role)
        until(partial(theirs.pulled_since, asked), f"the partner has pulled after {role}", PATIENCE_S, 1)
    after = theirs.pulls()
    assert after["failed"] == before["failed"], theirs.do("logs", "--tail", "40", "pull")
    assert sum(after.values()) > sum(before.values())
    assert ours.sql(HOLES) == "0"
    until(lambda: "ok    publications" in ours.compose(*NODE, "doctor").stdout, "no window is overdue", PATIENCE_S, 2)


def _begin(city: Neighbour) -> None:
    """Start everything but the publisher, and keep what the database held when the meters began, as the twin."""
    city.do("up", "--detach", "--wait", "--no-build", "--wait-timeout", "500", "kafka", "postgres")
    city.do("up", "--detach", "--no-build", "ingest")
    until(lambda: city.sql("SELECT count(*) FROM deliveries") != "0", f"readings come in at {city.city}", PATIENCE_S)
    city.sql("CREATE DATABASE twin")
    words = "--host 127.0.0.1 --username sistercity"
    copy = f"pg_dump {words} sistercity | psql {words} --quiet --set ON_ERROR_STOP=1 twin"
    city.do("exec", "--no-TTY", "postgres", "bash", "-c", f"set -o pipefail; {copy}")
    city.do("up", "--detach", "--no-build", "--scale", "publish=0")


def _drawn(chance: random.Random, sure: list[str], count: int) -> list[str]:
    """So many names: each of `sure` if there is room, the others at random."""
    names = [*sure, *chance.choices(LASTING[:-1], k=max(0, count - len(sure)))][:count]
    chance.shuffle(names)
    return names


def _in_both(neighbours: Mapping[str, Neighbour], do: Callable[[Neighbour], object]) -> None:
    """In both cities at the same time."""
    with ThreadPoolExecutor(len(neighbours)) as threads:
        list(threads.map(do, neighbours.values()))


def _await_all_read(city: Neighbour) -> None:
    until(lambda: city.sql(ALL_READ) == "t", f"{city.city} has read all that was sent", PATIENCE_S, 2)


def _assert_same_as_undisturbed(city: Neighbour) -> None:
    """Compare accounts, cells and publications with those of the twin, which reads the log and publishes alone."""
    city.do("stop", "ingest", "process", "correct")
    city.do("run", "--rm", "--no-TTY", "--entrypoint", "sh", "cli", "-c", CATCH_UP)
    last = city.sql("SELECT max(published_at) FROM publications", "twin")
    published = PUBLISHED.format(f"published_at <= '{last}'")
    alone = city.sql(published, "twin")
    until(lambda: _count(city.sql(published)) >= _count(alone), "all of it is published", PATIENCE_S, 2)
    assert city.sql(published) == alone
    assert "|t|" in alone, "no value was released: nothing was compared"
    for query in (CELLS, ACCOUNT):
        assert city.sql(query) == city.sql(query, "twin") != ""
    assert city.sql(ACCOUNT).endswith("|t")
    city.do("run", "--rm", "--no-TTY", "--entrypoint", "sh", "cli", "-c", LOSE_LEDGER)
    assert city.sql("SELECT count(*) > 0 FROM publications WHERE kind = 'skip'", "twin") == "t"
    city.do("up", "--detach", "--wait", "--no-build")


def _holds_all(city: Neighbour, partner: Neighbour) -> bool:
    """Whether a city has every body that its partner has published of what is agreed."""
    bodies = "SELECT md5(string_agg(body, '' ORDER BY sequence)) FROM {} WHERE metric = 'energy.import'"
    return city.sql(bodies.format("partner_bodies")) == partner.sql(bodies.format("publications")) != ""


def _count(row: str) -> int:
    return int(row.rpartition("|")[2])
