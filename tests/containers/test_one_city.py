"""One city from `cp .env.example .env` to published figures, then everything that may happen to it, on a real engine.

The tests of this file run in their order on one city: each leaves it whole. The operator's umask is 077.
"""

import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.containers.city import PATIENCE_S, ContainerCity, run
from tests.ports import free_port
from tests.system.compose import ROOT, example
from tests.waiting import until

pytestmark = pytest.mark.containers

IMAGE, CARRIED = "sistercity-tested", "sistercity-carried"


DRILLED = {"SistercityRoleGone", "SistercityTargetDown", "SistercityRoleNotSucceeding", "SistercityDiskFilling"}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerCity]:
    """A city with simulated meters, whose files were written under umask 077.

    It publishes windows of its today, so it is a city in which some of them have closed.
    """
    before = os.umask(0o077)
    of_today = datetime.now(ZoneInfo("Asia/Tehran")).hour >= 3
    facts = "isfahan" if of_today else "ho-chi-minh-city"
    name = f"{facts}-{os.getpid()}"
    settings = {
        "COMPOSE_PROJECT_NAME": name,
        "COMPOSE_PROFILES": "kafka,postgres,demo",
        "SISTERCITY_CITY_FILE": f"./ingest/cities/{facts}.toml",
        "SISTERCITY_IMAGE": IMAGE,
        "SISTERCITY_API_PORT": str(free_port()),
        "SISTERCITY_PROMETHEUS_PORT": str(free_port()),
        "SISTERCITY_DEMO_METERS": "300",
        "SISTERCITY_PARTITIONS": "4",
    }
    made = ContainerCity(tmp_path_factory.mktemp("containers") / "sistercity", settings)
    yield made
    made.remove()
    if carried := _docker(
        "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={CARRIED}*"
    ).split():
        _docker("image", "rm", *carried)
    os.umask(before)


def test_without_an_env_file_the_first_command_says_what_to_do(city):
    done = city.compose("up", "--build", "--detach", "--wait")
    assert done.returncode != 0
    assert "cp .env.example .env" in done.stderr
    assert not (city.folder / "secrets").exists()


def test_a_key_that_is_not_there_is_named(city):
    city.configure()
    (city.folder / "secrets" / "database_password").rename(city.folder / "elsewhere")
    done = city.compose("up", "--detach", "--no-build", "postgres")
    (city.folder / "elsewhere").rename(city.folder / "secrets" / "database_password")
    assert done.returncode != 0
    assert "database_password" in done.stderr
    city.compose("down")


def test_the_documented_commands_lead_to_published_figures(city):
    city.do("up", "--build", "--detach", "--wait", "--wait-timeout", "500", "--remove-orphans")
    assert city.all_healthy(), city.health()
    until(lambda: city.sql("SELECT count(*) FROM publications") != "0", "figures are published", PATIENCE_S, 2)
    until(partial(_finds, city, {"kafka", "tables"}), "doctor finds servers and tables well", PATIENCE_S, 2)
    with urllib.request.urlopen(f"http://127.0.0.1:{city.settings['SISTERCITY_API_PORT']}/healthz") as answer:
        assert answer.status == 200


def test_the_images_are_as_small_as_promised_and_list_what_is_inside(city):
    tag = _image(city)
    size = int(_docker("image", "inspect", "--format", "{{.Size}}", tag))
    assert size < 300e6
    labels = _docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag)
    assert "org.opencontainers.image.licenses" in labels
    listed = _docker("run", "--rm", "--entrypoint", "cat", tag, "/usr/share/sistercity/sbom.cdx.json")
    assert '"bomFormat": "CycloneDX"' in listed
    licences = _docker("run", "--rm", "--entrypoint", "cat", tag, "/usr/share/sistercity/licences.txt")
    assert "psycopg" in licences and "LGPL" in licences


def test_a_register_that_is_not_there_is_an_error_and_makes_no_folder(city):
    command = "docker compose run --rm --no-TTY cli register load /dev/stdin < register.csv"
    done = run(["sh", "-c", command], city.folder)
    assert done.returncode != 0
    assert "register.csv" in done.stderr
    assert not (city.folder / "register.csv").exists()


def test_a_second_clone_is_a_second_city_and_sees_nothing_of_the_first(city, tmp_path):
    second = ContainerCity(tmp_path / "another", {})
    second.configure()
    assert second.containers() == {}
    assert second.do("config", "--format", "json").split('"name": "')[1].startswith("another")


def test_another_number_of_processors_touches_nothing_else_and_no_image_dangles(city):
    before = city.ids()
    dangling = ("images", "--quiet", "--filter", "dangling=true")
    images = set(_docker(*dangling).split())  # those of one second come in any order
    city.set(SISTERCITY_PROCESSORS="2")
    city.do("up", "--build", "--detach", "--wait", "--remove-orphans")
    more = city.ids()
    assert {name: more[name] for name in before} == before
    assert {name.rsplit("-", 2)[1] for name in set(more) - set(before)} == {"process"}
    city.set(SISTERCITY_PROCESSORS="1")
    city.do("up", "--build", "--detach", "--wait", "--remove-orphans")
    assert city.ids() == before
    assert set(_docker(*dangling).split()) == images


def test_every_volume_has_a_name_so_that_none_is_left(city):
    ids = list(city.ids().values())
    form = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}\n{{end}}{{end}}'
    names = set(_docker("inspect", "--format", form, *ids).split())
    assert names
    assert all(name.startswith(f"{city.settings['COMPOSE_PROJECT_NAME']}_") for name in names), names


def test_with_a_wrong_password_roles_say_so_and_with_the_right_one_they_recover(city):
    right = city.set_password("a wrong one")
    city.do("restart", "--timeout", "10", "process", "publish", "correct")
    until(
        lambda: all(city.restarts(name) for name in ("process", "publish", "correct")),
        "each role has ended, and was started again by the engine",
        PATIENCE_S,
        2,
    )
    said = city.do("logs", "--tail", "40", "process")
    assert "Traceback" not in said and "password" in said, said
    city.set_password(right)
    until(city.all_healthy, "the roles work again by themselves", PATIENCE_S, 2)


def test_an_unreadable_secret_is_one_sentence(city):
    path = city.folder / "secrets" / "database_password"
    path.chmod(0o600)
    done = city.compose("run", "--rm", "--no-TTY", "cli", "status")
    path.chmod(0o644)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "Permission denied" in done.stderr, done.stderr


def test_the_documented_steps_of_an_upgrade_end_each_role_in_order_and_leave_the_servers_alone(city):
    tag, before = _image(city), city.ids()
    replaced = _docker("image", "inspect", "--format", "{{.Id}}", tag).strip()
    with (city.folder / "node" / "__init__.py").open("a") as file:
        file.write("# another version\n")
    city.do("build")
    begun = city.engine_time()
    city.do("run", "--rm", "--no-TTY", "migrate")
    for role in ("serve", "publish", "process", "correct", "ingest"):
        city.do("up", "--detach", "--wait", "--no-deps", role)
    replaced_by = city.engine_time()
    city.do("up", "--detach", "--no-deps", "--remove-orphans", "migrate", "topics")
    city.do("up", "--detach", "--wait")
    now = city.ids()
    assert {name.rsplit("-", 2)[1] for name in now if before[name] == now[name]} == {"kafka", "postgres"}
    assert {service for service, _ in city.ended(replaced_by)} <= {"migrate", "topics"}  # the others went on
    assert {code for _, code in city.ended(begun)} == {"0"}, city.ended(begun)
    assert city.all_healthy(), city.health()
    _docker("image", "rm", replaced)


def test_prometheus_tells_of_a_role_that_is_gone_or_frozen_or_fails_and_of_a_full_disk(city):
    """The rules wait a second here, not minutes; `tests/deploy` drills the other alerts with theirs."""
    for name in ("prometheus.yml", "sistercity.rules.yml"):
        path = city.folder / "deploy" / "prometheus" / name
        path.write_text(re.sub(r"(for: )\w+|\b15s", r"\g<1>1s", path.read_text()))
        path.chmod(0o644)
    city.set(COMPOSE_PROFILES="kafka,postgres,demo,monitoring")
    city.do("up", "--detach", "prometheus")
    until(lambda: city.scraped() >= {"process", "correct", "publish", "serve"}, "roles are scraped", PATIENCE_S, 1)
    small = f"{city.settings['COMPOSE_PROJECT_NAME']}-small"
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=4m,uid=10001")
    _docker("volume", "create", "--label", city.label(), *options, small)
    home = ("--volume", f"{small}:/var/lib/sistercity")
    city.do("run", "--detach", "--no-deps", "--use-aliases", *home, "--name", small, "correct")
    until(lambda: not city.firing() & DRILLED, "nothing of it is wrong", PATIENCE_S, 1)
    _docker("exec", small, "sh", "-c", "head -c 3900k /dev/zero > /var/lib/sistercity/filler")
    city.do("pause", "serve")
    # Simulated meters end when they lose the database, but some time later.
    city.do("stop", "ingest", "publish", "postgres")
    until(lambda: city.firing() >= DRILLED, "each alert fires", PATIENCE_S, 1)
    _docker("exec", small, "rm", "/var/lib/sistercity/filler")
    city.do("unpause", "serve")
    city.set(COMPOSE_PROFILES="kafka,postgres,demo")
    city.start_until_healthy()
    until(lambda: not city.firing() & DRILLED, "each alert has cleared", PATIENCE_S, 1)
    _docker("rm", "--force", small)
    _docker("volume", "rm", small)
    city.do("rm", "--stop", "--force", "prometheus")


def test_the_container_of_a_profile_that_is_taken_out_stays_until_the_documented_command(city):
    city.set(COMPOSE_PROFILES="kafka,postgres")
    city.do("up", "--detach", "--wait", "--remove-orphans")
    assert city.of_project("ingest"), "Compose removes it by itself now: the command in docs/containers.md can go"
    city.do("rm", "--stop", "--force", "ingest")
    assert not city.of_project("ingest")


def test_down_keeps_the_volumes_and_up_goes_on_from_them_with_images_that_came_as_a_file(city):
    """As on a machine without a network: no image is there but what the file brings, and none is pulled or built."""
    before = city.sql("SELECT count(*), max(position) FROM publications")
    city.do("down", "--remove-orphans")
    assert not city.of_project()
    carried = {f"SISTERCITY_{name}_IMAGE": f"{CARRIED}-{name.lower()}:1" for name in ("KAFKA", "POSTGRES")}
    for name, image in carried.items():  # under names of this test, so that no image of anybody else is removed
        _docker("tag", example()[name], image)
    _docker("tag", _image(city), _image(city).replace(IMAGE, CARRIED))
    city.set(SISTERCITY_IMAGE=CARRIED, **carried)
    images = sorted(set(city.do("config", "--images").split()))
    ids = _docker("image", "inspect", "--format", "{{.Id}}", *images)
    for command in _documented("docker save"):
        assert run(["bash", "-c", f"set -o pipefail; {command}"], city.folder).returncode == 0
    _docker("image", "rm", *images)
    assert city.compose("up", "--detach", "--no-build", "--pull", "never").returncode != 0
    for command in _documented("docker load", "docker compose up --detach --wait --no-build"):
        done = run(["sh", "-c", command], city.folder)
        assert done.returncode == 0, done.stderr
    assert _docker("image", "inspect", "--format", "{{.Id}}", *images) == ids
    assert int(city.sql("SELECT count(*) FROM publications")) >= int(before.split("|")[0]) > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a folder of user 10001 (`sudo install -o 10001`): run it as root")
def test_after_all_volumes_are_lost_a_backup_is_restored_and_the_city_goes_on(city):
    folder = city.folder / "backups"
    assert run(["install", "-d", "-o", "10001", "-m", "700", str(folder)], city.folder).returncode == 0
    node = ("run", "--rm", "--no-TTY", "--volume", f"{folder}:/backups", "cli")
    city.do("stop", "publish")
    city.do(*node, "backup", "/backups")
    [file] = folder.iterdir()
    entries = (
        "SELECT md5(string_agg(concat_ws(' ', position, metric, sequence), ',' ORDER BY position)) FROM publications"
    )
    before, position = city.sql(entries), city.sql("SELECT max(position) FROM publications")
    city.do("down", "--volumes", "--remove-orphans")
    city.do("up", "--detach", "--wait", "postgres", "kafka")
    city.do(*node, "restore", f"/backups/{file.name}", "--ledger-of-backup")
    city.do("run", "--rm", "--no-TTY", "topics")
    city.do(*node, "topics", "made-anew", "--accept")
    city.do(*node, "process", "--until-caught-up", "--accept-cut")
    counted = "SELECT sum(messages) FROM stream_offsets"
    processed = city.sql(counted)
    city.set(COMPOSE_PROFILES="kafka,postgres,demo")
    city.do("up", "--detach", "--wait")
    assert city.sql(f"{entries} WHERE position <= {position}") == before
    assert city.all_healthy(), city.health()
    until(lambda: int(city.sql(counted)) > int(processed), "processing goes on", PATIENCE_S, 2)


def _finds(city: ContainerCity, well: set[str]) -> bool:
    """Whether `doctor` finds these to be well; on a busy machine Kafka may not answer in its time at once."""
    found = city.compose("run", "--rm", "--no-TTY", "cli", "doctor").stdout.splitlines()
    return well <= {line.split()[1] for line in found if line.startswith("ok ")}


def _healthy(city: ContainerCity, name: str) -> bool:
    return city.health().get(name) == "healthy"


def _image(city: ContainerCity) -> str:
    """The image of the roles without pictures."""
    return next(line for line in city.do("config", "--images").splitlines() if line.startswith(f"{IMAGE}:"))


def _documented(*beginnings: str) -> list[str]:
    """The commands of docs/containers.md that begin so, without what is said after them."""
    lines = [line.strip() for line in (ROOT / "docs" / "containers.md").read_text().splitlines()]
    found = [next(line for line in lines if line.startswith(beginning)) for beginning in beginnings]
    return [line.split("  #")[0] for line in found]


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_first_start_of_postgresql_that_was_interrupted_is_seen_and_mended(tmp_path: Path):
    name = f"interrupted-{os.getpid()}"
    settings = {"COMPOSE_PROJECT_NAME": name, "COMPOSE_PROFILES": "postgres", "SISTERCITY_IMAGE": IMAGE}
    city = ContainerCity(tmp_path / "city", settings)
    city.configure()
    try:
        city.do("up", "--detach", "--no-build", "postgres")
        begun = ("exec", "--no-TTY", "postgres", "sh", "-c", "ls /var/lib/postgresql/*/docker/PG_VERSION")
        until(lambda: city.compose(*begun).returncode == 0, "the first start has begun", 60)
        city.do("kill", "postgres")
        city.do("up", "--detach", "--no-build", "postgres")
        again = city.compose("run", "--rm", "--no-TTY", "migrate", "migrate", "--wait", "20")
        assert again.returncode == 1
        assert city.health().get("postgres") != "healthy"
        city.do("down")
        _docker("volume", "rm", f"{name}_postgres-data")
        city.do("up", "--detach", "--no-build", "--wait", "postgres")
        city.do("run", "--rm", "--no-TTY", "migrate")
    finally:
        city.remove()
