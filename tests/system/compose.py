"""docker-compose.yml as Docker Compose would read it: merged, with the variables of .env.example put in."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z0-9_]+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")


def example() -> dict[str, str]:
    """The variables of .env.example."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def variables() -> set[str]:
    """The variables that the file asks for."""
    return {found["name"] for found in VARIABLE.finditer(FILE.read_text())}


def compose(given: dict[str, str] | None = None) -> dict[str, Any]:
    """The file with these variables, or with those of .env.example."""
    values = example() if given is None else given
    return _filled(yaml.safe_load(FILE.read_text()), values)


def services_of_ours(document: dict[str, Any]) -> dict[str, Any]:
    """The services that run an image of ours."""
    return {name: one for name, one in document["services"].items() if one["image"].startswith("sistercity")}


def arguments(service: dict[str, Any]) -> list[str]:
    """What a service of ours gives to `sistercity`."""
    command = service["command"]
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def _filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, values) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: values.get(found["name"]) or found["default"] or "", value)
    return value
