"""A city in containers as an operator has it: a folder with the project's files, an .env and secrets."""

import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.system.compose import ROOT
from tests.waiting import until

PATIENCE_S = 400
_OWN = ("COMPOSE_", "SISTERCITY_")


def run(words: list[str], folder: Path, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    """A command of the operator in a folder, with nothing set but what .env there says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return subprocess.run(
        words, cwd=folder, env=environment, input=given or "", capture_output=True, text=True, timeout=900, check=False
    )


def tracked_files(folder: Path) -> None:
    """What a clone has, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "training/", "benchmarks/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())  # with the operator's umask, as git does


class ContainerCity:
    """The city in `folder`. `settings` replace lines of .env.example."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True)
        tracked_files(folder)

    def configure(self) -> None:
        """Follow the head of docker-compose.yml up to the first `up`."""
        shutil.copyfile(self.folder / ".env.example", self.folder / ".env")
        self.set(**self.settings)
        (self.folder / "secrets").mkdir(mode=0o700)
        self.set_password(secrets.token_hex(24))
        for path in (self.folder / "ingest" / "cities").glob("*.toml"):
            path.chmod(0o644)

    def set_password(self, password: str) -> str:
        """Write the file of the database's password in place; what it held before."""
        path = self.folder / "secrets" / "database_password"
        before = path.read_text() if path.exists() else ""
        path.write_text(f"{password.strip()}\n")
        path.chmod(0o644)
        return before

    def set(self, **settings: str) -> None:
        """Replace lines of .env, or add them."""
        path = self.folder / ".env"
        kept = [line for line in path.read_text().splitlines() if line.split("=")[0] not in settings]
        path.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in settings.items())]) + "\n")

    def compose(self, *words: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        """`docker compose ...` in the folder, however it ends."""
        return run(["docker", "compose", *words], self.folder, given)

    def do(self, *words: str, given: str | None = None) -> str:
        """`docker compose ...`, which must succeed; what it prints."""
        done = self.compose(*words, given=given)
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-3000:]}{self.why()}"
        return done.stdout

    def why(self) -> str:
        """What the containers said last, for a test that fails."""
        return self.compose("logs", "--tail", "8").stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """What `docker compose ps --all` says of each container, by name."""
        lines = self.do("ps", "--all", "--no-trunc", "--format", "json").splitlines()
        return {found["Name"]: found for found in map(json.loads, filter(None, lines))}

    def of_project(self, service: str = "") -> list[str]:
        """Ids of the containers that the engine has of this city, or of one service of it, whatever .env says now."""
        words = ["docker", "ps", "--all", "--quiet", "--filter", f"label={self.label()}"]
        if service:
            words += ["--filter", f"label=com.docker.compose.service={service}"]
        return run(words, self.folder).stdout.split()

    def label(self) -> str:
        """The label by which Compose knows what belongs to this city."""
        return f"com.docker.compose.project={self.settings['COMPOSE_PROJECT_NAME']}"

    def ids(self) -> dict[str, str]:
        return {name: found["ID"] for name, found in self.containers().items()}

    def health(self) -> dict[str, str]:
        """Health by service, of those that have a check; the worst of its containers."""
        found: dict[str, str] = {}
        for container in self.containers().values():
            state = container["Health"] or (container["State"] if container["State"] == "restarting" else "")
            if state and found.get(container["Service"], "healthy") == "healthy":
                found[container["Service"]] = state
        return found

    def restarts(self, service: str) -> int:
        """How often the engine has started the service's containers again since they were last started by a command."""
        found = [container["ID"] for container in self.containers().values() if container["Service"] == service]
        return sum(
            int(run(["docker", "inspect", "-f", "{{.RestartCount}}", name], self.folder).stdout) for name in found
        )

    def ended(self, since: str) -> frozenset[tuple[str, str]]:
        """Service and exit code of every container that has ended since a time of the engine's."""
        words = [
            "docker",
            "events",
            "--since",
            since,
            "--until",
            self.engine_time(),
            "--filter",
            f"label={self.label()}",
        ]
        form = '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.exitCode}}'
        listed = run([*words, "--filter", "event=die", "--format", form], self.folder).stdout
        return frozenset((service, code) for service, code in map(str.split, listed.splitlines()))

    def engine_time(self) -> str:
        """The engine's clock."""
        return run(["docker", "info", "--format", "{{.SystemTime}}"], self.folder).stdout.strip()

    def start_until_healthy(self, *options: str) -> None:
        """`up` until it succeeds: roles whose server was away are unhealthy for a while, and simulated sources end.

        An operator would start the latter again, too.
        """
        start = ("up", "--detach", "--wait", "--no-build", "--wait-timeout", "500", *options)
        until(lambda: self.compose(*start).returncode == 0, f"all is up: {self.health()}", PATIENCE_S)

    def all_healthy(self) -> bool:
        return set(self.health().values()) == {"healthy"}

    def firing(self) -> frozenset[str]:
        """The alerts that fire, as the city's Prometheus says."""
        alerts = self._prometheus("alerts")["alerts"]
        return frozenset(alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing")

    def scraped(self) -> frozenset[str]:
        """The services that the city's Prometheus reads metrics of; none before it answers."""
        with suppress(OSError):
            targets = self._prometheus("targets")["activeTargets"]
            return frozenset(target["labels"]["service"] for target in targets if target["health"] == "up")
        return frozenset()

    def _prometheus(self, what: str) -> Any:
        url = f"http://127.0.0.1:{self.settings['SISTERCITY_PROMETHEUS_PORT']}/api/v1/{what}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]

    def sql(self, query: str, database: str = "sistercity") -> str:
        """The rows of a query, as text; the server must answer."""
        words = ["exec", "--no-TTY", "postgres", "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--host"]
        words += ["127.0.0.1", "--username", "sistercity", "--dbname", database, "--command", query]
        return self.do(*words).strip()

    def crash(self, service: str) -> None:
        """Kill every process of a container at once, from inside, so that the engine takes it for a crash."""
        self.compose("exec", "--no-TTY", service, "sh", "-c", "kill -9 -1")

    def remove(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10")
