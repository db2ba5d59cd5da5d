"""The commands of "Containers" in docs/operator.md, as they are written there and in their order, on a real engine.

What the guide takes for granted, or says in words between two commands, is done before the command that needs it.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import cv2
import pytest

from ingest.cameras.rendered import RenderedCamera
from ingest.cities import load_city
from ingest.register_file import write_register
from ingest.simulated.fleet import Fleet
from node.demo.certificates import Authority
from tests.containers.city import PATIENCE_S, ContainerCity, run
from tests.containers.neighbour import Keys
from tests.guide import CONTAINERS, DOCUMENT, shell_commands
from tests.ports import free_port
from tests.waiting import until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to user 10001 (`sudo install -o 10001`): run it as root"),
]

CITY, HOST, CAMERA = "isfahan", "exchange.isfahan.example", "K-1"
AS_ROOT = 'sudo() { "$@"; }\n'
PICTURE = f"plates picture {CAMERA} /pictures/picture.jpg --reason dark"
CAMERAS = f"""
[[cameras]]
source = "{CAMERA}"
url = "http://127.0.0.1:1/"
rate = 2
"""


@pytest.fixture
def city(tmp_path) -> Iterator[ContainerCity]:
    settings = {
        "COMPOSE_PROJECT_NAME": f"guided-{os.getpid()}",
        "SISTERCITY_IMAGE": "sistercity-tested",
        "SISTERCITY_API_PORT": str(free_port()),
        "SISTERCITY_EXCHANGE_PORT": str(free_port()),
        "SISTERCITY_EXCHANGE_HOSTS": HOST,
        "SISTERCITY_PARTITIONS": "4",
        "KAFKA_HEAP_OPTS": "-Xms128m -Xmx384m",
    }
    made = ContainerCity(tmp_path / CITY, settings)
    yield made
    made.remove()


def test_the_commands_of_the_guide_lead_to_a_city_that_exchanges(city):
    for command in shell_commands():
        if command.section != CONTAINERS:
            continue
        before = next((prepare for words, prepare in BEFORE.items() if command.text.startswith(words)), None)
        if before is not None:
            before(city)
        text = command.text.replace("plates picture ...", PICTURE)
        done = run(["bash", "-c", AS_ROOT + text], city.folder)
        assert done.returncode == 0, (
            f"{DOCUMENT.name}:{command.line}: {text}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        )
        if text.startswith("cp .env.example"):
            city.set(**city.settings)
    city.set(COMPOSE_PROFILES="kafka,postgres,partners")
    city.do("up", "--detach", "--wait", "--wait-timeout", "500")
    until(lambda: {"serve-partners", "pull"} <= city.health().keys() and city.all_healthy(), "all is up", PATIENCE_S, 2)


def _write_register(city: ContainerCity) -> None:
    """Meters, and a camera."""
    facts = load_city(CITY)
    camera = {"source": CAMERA, "metric": "traffic.regions", "district": facts.districts[0].id}
    camera |= {"contributor": "a crossing", "class": "any", "valid_from": "2020-01-01", "valid_to": ""}
    rows = list(Fleet(facts, 1000, 1).register())
    write_register(city.folder / "register.csv", [*rows, dict.fromkeys(rows[0], "") | camera])


def _send_picture(city: ContainerCity) -> None:
    """A picture of the camera is in Kafka, and `pictures` among the profiles."""
    city.set(COMPOSE_PROFILES="kafka,postgres,pictures")
    city.do("up", "--build", "--detach", "--wait", "--wait-timeout", "500", "--remove-orphans")
    taken = city.folder / "taken"
    taken.mkdir()
    cv2.imwrite(str(taken / "1.jpg"), RenderedCamera(4, "VN", 960, 540).frame(14))
    node = ("run", "--rm", "--no-TTY", "--volume", f"{taken}:/taken:ro", "detect")
    city.do(*node, "ingest", "camera", "/taken", "--source", CAMERA)


def _list_cameras(city: ContainerCity) -> None:
    city.set(COMPOSE_PROFILES="kafka,postgres,cameras")
    folder = city.folder / "secrets" / "cameras"
    folder.mkdir(mode=0o755)
    (folder / "cameras.toml").write_text(CAMERAS)
    (folder / "cameras.toml").chmod(0o644)
    city.do("up", "--detach", "--no-deps", "cameras")


def _exchange_by_mail(city: ContainerCity) -> None:
    """Identity, keys, certificate and agreement are in the folder, made on machines of their own."""
    ours, theirs = (Keys(name, city.folder.parent / f"keys-of-{name}") for name in (CITY, "ho-chi-minh-city"))
    for keys, host in ((ours, HOST), (theirs, "exchange.hcmc.example")):
        keys.sistercity("identity", "create", "--contact", f"exchange@{host}", "--address", f"https://{host}")
    proposal, agreement = city.folder / "proposal.json", city.folder / "agreement.json"
    terms = ("--give", "energy.import", "--receive", "energy.import", "--out", str(proposal))
    ours.sistercity("agreement", "propose", str(theirs.identity), *terms)
    theirs.sistercity("agreement", "accept", str(proposal), "--yes", "--out", str(agreement))
    certificate = Authority(city.folder.parent, datetime.now(UTC)).certify(CITY, [HOST])
    for source, name in (
        (ours.identity, "identity.jws"),
        (ours.folder / "publish.key", "publish.key"),
        (ours.folder / "access.key", "access.key"),
        (certificate.certificate, "fullchain.pem"),
        (certificate.key, "privkey.pem"),
    ):
        (city.folder / name).write_bytes(source.read_bytes())


BEFORE: dict[str, Callable[[ContainerCity], None]] = {
    "docker compose run --rm --no-TTY cli register load": _write_register,
    "docker compose run --rm --volume": _send_picture,
    "docker compose restart cameras": _list_cameras,
    "sudo install -D -o 10001 -m 600 publish.key": _exchange_by_mail,
}
