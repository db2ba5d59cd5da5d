"""What the containers' files promise, read without a container engine. tests/system/test_compose.py runs them."""

import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from node.settings import Settings
from node.topic_plan import WITHOUT_KAFKA
from tests.system.compose import ROOT, arguments, compose, example, services_of_ours, variables

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCUMENT = compose()
SERVICES = DOCUMENT["services"]
OURS = services_of_ours(DOCUMENT)

NOT_FOR_CONTAINERS = {
    "home": "the image sets it",
    "spill_folder": "the volume lies where the home has it",
    "instance": "every container has a host name of its own, which lasts as long as it does",
    "stop_with_stdin": "an engine stops by signals",
    "kafka_client": "the images hold kafka-python alone",
    "kafka_password": "a secret",
    "kafka_ca_file": "a file that has to be mounted, see docs/operator.md",
    "kafka_cert_file": "a file that has to be mounted, see docs/operator.md",
    "kafka_key_file": "a file that has to be mounted, see docs/operator.md",
    "database_password": "a secret",
    "publish_key": "its folder is mounted where the home has it",
    "access_key": "its folder is mounted where the home has it",
    "partner_ca_file": "a file that has to be mounted, see docs/operator.md",
    "partner_headers": "a secret",
    "poll_proxy": "a secret, and `ingest run` is not among the services",
    "own_hosts": "this machine's loopback alone reaches the own side",
}


def instructions(name: str) -> list[list[str]]:
    """The words of every instruction of this name in the Dockerfile."""
    return [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith(f"{name} ")]


def test_whatever_the_image_copies_is_there_and_reaches_the_builder():
    sources = [word for words in instructions("COPY") if not words[0].startswith("--from") for word in words[:-1]]
    assert {"pyproject.toml", "requirements/node.txt", "node", "store"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in IGNORED, source


def test_every_package_of_the_project_is_in_the_image():
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    sources = {word for words in instructions("COPY") for word in words}
    assert {name.rstrip("*") for name in found} <= sources


def test_nothing_secret_and_no_data_reaches_the_builder():
    assert IGNORED[1] == "*"  # all is left out, then some is let in
    assert not {"!.env", "!secrets", "!.git", "!.sistercity", "!tests"} & set(IGNORED)


def test_the_image_has_all_that_a_node_needs_and_the_locks_are_used_with_hashes():
    installs = [run for words in instructions("RUN") for run in " ".join(words).split("&&") if " install " in run]
    locked = [run for run in installs if "--requirement" in run]
    assert len(locked) == 4  # tools, list of contents, node, pictures
    assert all("--require-hashes" in run for run in locked)
    assert all("--no-deps" in run for run in installs if "pip" in run and run not in locked)
    lock = (ROOT / "requirements/node.txt").read_text()
    extras = PROJECT["project"]["optional-dependencies"]
    needed = PROJECT["project"]["dependencies"] + extras["node"] + extras["client"]
    of_pictures = (ROOT / "requirements/pictures.txt").read_text()
    assert set(_pinned(lock)) < set(_pinned(of_pictures))  # the images have the same versions of everything else
    for requirement in needed:
        name = re.match(r"[a-z0-9-]+", requirement)
        assert name is not None
        if name[0] != "sistercity":
            assert re.search(rf"^{name[0]}(\[[a-z,]+\])?==", lock, re.MULTILINE), requirement


def _pinned(lock: str) -> list[str]:
    return re.findall(r"^[a-z0-9-]+==\S+", lock, re.MULTILINE)


def test_every_file_of_a_package_is_installed_with_it():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    for name in filter(None, tracked.stdout.split("\0")):
        path = Path(name)
        if path.parts[0] in packages and path.suffix != ".py":
            package = next(parent for parent in path.parents if (ROOT / parent / "__init__.py").exists())
            inside = path.relative_to(package).as_posix()
            assert "/" not in inside, f"{name}: its folder is no package"
            assert any(fnmatch.fnmatchcase(inside, pattern) for pattern in patterns), name


def test_the_image_runs_as_a_user_with_a_fixed_number_and_no_tools_to_install_with():
    assert instructions("USER") == [["10001:10001"]]
    [base] = [stage for stage in DOCKERFILE.split("FROM ") if "AS base" in stage]
    assert "pip uninstall" in base
    [last] = [stage for stage in DOCKERFILE.split("FROM ") if "USER" in stage]
    assert "pip install" not in last
    assert instructions("ENTRYPOINT") == [['["sistercity"]']]


def test_every_image_is_pinned_to_a_version():
    for image in [service["image"] for service in SERVICES.values()]:
        assert re.search(r":v?\d+(\.\d+)+", image), image
    assert {service["image"] for service in OURS.values()} == {
        f"sistercity:{PROJECT['project']['version']}",
        f"sistercity-pictures:{PROJECT['project']['version']}",
    }


def test_images_from_elsewhere_are_pinned_in_one_place_alone():
    pins = [example()[f"SISTERCITY_{name}_IMAGE"] for name in ("PYTHON", "KAFKA", "POSTGRES")]
    assert all(re.search(r":\d+(\.\d+)+", pin) for pin in pins)
    unpinned = compose({})["services"]
    assert [unpinned[name]["image"] for name in ("kafka", "postgres")] == pins[1:]
    arguments_of = {name: service["build"]["args"] for name, service in SERVICES.items() if "build" in service}
    assert list(arguments_of.values()) == [{"SISTERCITY_PYTHON_IMAGE": pins[0]}] * 2
    assert instructions("ARG") == [[f"SISTERCITY_PYTHON_IMAGE={pins[0]}"], ["SISTERCITY_PYTHON_IMAGE"]]


def test_two_services_build_and_nobody_else_builds_or_pulls():
    built = {name: service["build"]["target"] for name, service in OURS.items() if "build" in service}
    assert built == {"migrate": "sistercity", "detect": "sistercity-pictures"}
    for name, service in OURS.items():
        assert service["pull_policy"] == ("missing" if name in built else "never")
        with_pictures = "sistercity-pictures:" in service["image"]
        assert with_pictures == (name in ("detect", "cameras"))


def test_every_container_has_limits_of_memory_and_processes_and_ours_of_processor_time():
    for name, service in SERVICES.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"memory", "pids"} <= set(limits), name
        assert ("cpus" in limits) == (name in OURS), name


def test_the_city_has_no_fixed_name_so_that_a_second_clone_is_a_second_city():
    assert "name" not in DOCUMENT


def test_one_image_of_ours_serves_every_role():
    roles = {"migrate", "topics", "process", "detect", "correct", "cameras", "relay", "publish"}
    roles |= {"serve", "serve-partners", "pull", "ingest", "cli"}
    assert set(OURS) == roles
    assert set(SERVICES) - roles == {"kafka", "postgres", "prometheus"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name):
    service = SERVICES[name]
    assert service["user"] not in ("root", "0", "0:0")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service.get("read_only") is True or name == "kafka"
    assert "privileged" not in service
    if name in OURS:
        assert service["user"] == "10001:10001"


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_lasts_has_a_health_check_and_starts_when_what_it_needs_is_well(name):
    service = SERVICES[name]
    once = name in ("migrate", "topics", "cli")
    assert ("healthcheck" in service) != once
    assert service["restart"] == ("no" if once or name == "ingest" else "unless-stopped")
    for needed, how in service.get("depends_on", {}).items():
        other = SERVICES[needed]
        lasting = "healthcheck" in other
        assert how["condition"] == ("service_healthy" if lasting else "service_completed_successfully")
        assert how.get("required", True) is True  # else it goes on past a failure
        assert "profiles" not in other  # what may be left out for one's own is waited for by `migrate` and `topics`


def test_the_order_of_starting_has_no_circle_and_brings_tables_and_topics_first():
    def before(name: str, path: tuple[str, ...] = ()) -> set[str]:
        assert name not in path, path
        needed = SERVICES[name].get("depends_on", {})
        return set(needed).union(*(before(service, (*path, name)) for service in needed))

    assert before("process") == before("detect") == before("correct") == {"migrate", "topics"}
    assert before("cameras") == before("relay") == before("detect")
    for name in ("publish", "serve", "serve-partners", "pull"):
        assert before(name) == {"migrate"}
    for name in ("migrate", "topics"):
        assert int(arguments(SERVICES[name])[arguments(SERVICES[name]).index("--wait") + 1]) >= 60


def test_no_password_stands_in_a_file_and_secrets_are_mounted():
    assert {name: secret["file"] for name, secret in DOCUMENT["secrets"].items()} == {
        name: f"./secrets/{name}" for name in ("database_password", "partner_database_password")
    }
    for name, service in SERVICES.items():
        words = " ".join(f"{key}={value}" for key, value in service.get("environment", {}).items())
        assert not re.search(r"PASSWORD=|PASSWORD: ", words), name
        assert not re.search(r"//[^/@\s]+:[^/@\s]+@", words), name
    for name, service in OURS.items():
        source = "partner_database_password" if name == "serve-partners" else "database_password"
        assert service["secrets"] == [{"source": source, "target": "sistercity_database_password"}]


def test_the_door_for_partners_comes_to_the_database_as_a_role_of_its_own():
    urls = {name: service["environment"]["SISTERCITY_DATABASE_URL"] for name, service in OURS.items()}
    public = urls.pop("serve-partners")
    assert public not in urls.values() and len(set(urls.values())) == 1
    role = arguments(SERVICES["migrate"])[-1]
    assert conninfo_to_dict(public)["user"] == role == "sistercity_partners"


def test_partners_reach_their_door_and_only_this_machines_loopback_the_own_side():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "serve": ["127.0.0.1:8080:8080"],
        "serve-partners": ["443:8443"],
        "prometheus": ["127.0.0.1:9090:9090"],
    }
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"cameras", "serve", "serve-partners", "pull", "cli"}


def test_only_roles_that_speak_to_kafka_know_of_it():
    speaking = {name for name, service in OURS.items() if any("KAFKA" in key for key in service["environment"])}
    assert speaking == {"topics", "process", "detect", "correct", "cameras", "relay", "ingest", "cli"}
    assert not speaking & {*WITHOUT_KAFKA, "migrate"}


def test_only_serve_may_listen_beyond_loopback():
    allowed = {name for name, service in OURS.items() if "SISTERCITY_SERVE_IN_CONTAINER" in service["environment"]}
    assert allowed == {"serve"}


def test_every_volume_and_network_that_is_used_is_declared_and_the_other_way_round():
    entries = [entry for service in SERVICES.values() for entry in service.get("volumes", [])]
    assert {entry.split(":")[0] for entry in entries if isinstance(entry, str)} == set(DOCUMENT["volumes"])
    assert {network for service in SERVICES.values() for network in service["networks"]} == set(DOCUMENT["networks"])


def test_every_folder_of_keys_and_addresses_is_given_to_one_role_alone_and_none_can_change_it():
    bound = {
        name: entry
        for name, service in SERVICES.items()
        for entry in service.get("volumes", [])
        if isinstance(entry, dict)
    }
    assert {name: mount["source"] for name, mount in bound.items()} == {
        "cameras": "./secrets/cameras",
        "publish": "./secrets/publish",
        "pull": "./secrets/access",
        "serve-partners": "./secrets/tls",
    }
    for name, mount in bound.items():
        assert (mount["type"], mount["read_only"]) == ("bind", True)
        # A folder that is not there is an error, not an empty one; but a city without partners publishes without a key.
        assert mount["bind"] == {"create_host_path": name == "publish"}
    assert bound["publish"]["target"] == bound["pull"]["target"] == "/var/lib/sistercity/identity"
    [public] = [name for name, service in OURS.items() if "SISTERCITY_EXCHANGE_KEY_FILE" in service["environment"]]
    for setting in ("CERT", "KEY"):
        path = SERVICES[public]["environment"][f"SISTERCITY_EXCHANGE_{setting}_FILE"]
        assert Path(path).parent == Path(bound[public]["target"])


def test_only_the_role_of_cameras_knows_of_their_addresses():
    mount = next(entry for entry in SERVICES["cameras"]["volumes"] if isinstance(entry, dict))
    assert {name for name, service in OURS.items() if "SISTERCITY_CAMERAS" in service["environment"]} == {"cameras"}
    assert SERVICES["cameras"]["environment"]["SISTERCITY_CAMERAS"] == f"{mount['target']}/cameras.toml"
    assert SERVICES["cameras"]["profiles"] == ["cameras"]


def test_every_variable_has_an_example_with_a_comment_and_every_example_a_use():
    assert set(example()) == variables() | {"COMPOSE_PROFILES"}
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert set(example()["COMPOSE_PROFILES"].split(",")) < profiles


def test_every_setting_is_either_in_the_file_or_left_out_for_a_reason():
    given = {name for service in OURS.values() for name in service["environment"]}
    known = {f"SISTERCITY_{name.upper()}" for name in Settings.model_fields}
    assert given <= known
    left_out = {f"SISTERCITY_{name.upper()}" for name in NOT_FOR_CONTAINERS}
    assert known - given == left_out


def test_the_settings_of_kafka_are_those_of_the_embedded_one():
    from embedded.kafka import SERVER  # noqa: PLC0415

    theirs = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in SERVICES["kafka"]["environment"].items()
    }
    ours = dict(line.split("=", 1) for line in SERVER.splitlines())
    for name in ("auto.create.topics.enable", "log.message.timestamp.type", "offsets.topic.replication.factor"):
        assert theirs[name] == ours[name]
    unknown = set(theirs) - set(ours) - {"heap.opts", "advertised.listeners"}
    assert not unknown, unknown


def test_git_never_takes_passwords_or_an_operators_own_files():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "/secrets/", "/docker-compose.override.yml"} <= set(ignored)
