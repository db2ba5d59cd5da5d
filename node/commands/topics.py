"""`sistercity topics`: what the city needs in Kafka."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from node import wiring
from node.commands.grow import grow
from node.commands.made_anew import made_anew
from node.settings import settings

if TYPE_CHECKING:
    from node.topic_plan import PlannedTopic, Right

_PATIENCE_S = 10

app = typer.Typer(help="What the city needs in Kafka: topics, and rights of each role.", no_args_is_help=True)


class OutputFormat(StrEnum):
    table = "table"
    commands = "commands"


app.command()(grow)
app.command()(made_anew)


@app.command()
def plan(
    form: Annotated[
        OutputFormat, typer.Option("--format", help="a table, or lines for Kafka's own command-line tools")
    ] = OutputFormat.table,
    principal_prefix: Annotated[str | None, typer.Option(help="prefix of a role's name; default: User:CITY-")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Print the city's topics and what each role must be allowed to do. Asks no Kafka and changes nothing."""
    from node.topic_plan import planned_rights, planned_topics

    city = wiring.city().id
    topics, rights = planned_topics(city, settings().partitions), planned_rights(city)
    prefix = f"User:{city}-" if principal_prefix is None else principal_prefix
    if as_json:
        named = [{"principal": prefix + right.role, **asdict(right)} for right in rights]
        typer.echo(json.dumps({"city": city, "topics": [asdict(topic) for topic in topics], "rights": named}, indent=2))
        return
    lines = _commands(topics, rights, prefix) if form is OutputFormat.commands else _tables(topics, rights)
    for line in lines:
        typer.echo(line)


@app.command()
def create(
    wait: Annotated[
        float, typer.Option(min=1, help="seconds to wait for a Kafka that does not answer yet")
    ] = _PATIENCE_S,
) -> None:
    """Make the topics that are not there. One that is there stays as it is; `sistercity doctor` compares it."""
    import logging

    from node.topic_plan import planned_topics

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # errors are printed once, by this command
    city, log = wiring.city().id, wiring.log(patience_s=wait)
    for planned in planned_topics(city, settings().partitions):
        made = wiring.ensure_topic(log, planned.topic)
        typer.echo(f"{planned.topic}: {'made' if made else 'is there'}")


def _tables(topics: "Sequence[PlannedTopic]", rights: "Sequence[Right]") -> Iterator[str]:
    from node.topic_plan import WITHOUT_KAFKA

    yield from _aligned(
        [("topic", "partitions", "settings")]
        + [(planned.topic, str(planned.partitions), " ".join(_pairs(planned))) for planned in topics]
    )
    yield ""
    yield from _aligned(
        [("role", "resource", "operations", "why")]
        + [(right.role, _resource(right), ", ".join(right.operations), right.why) for right in rights]
        + [(role, "nothing in Kafka", "", "") for role in WITHOUT_KAFKA]
    )


def _commands(topics: "Sequence[PlannedTopic]", rights: "Sequence[Right]", prefix: str) -> Iterator[str]:
    servers = settings().kafka or "localhost:9092"
    yield f"ADMIN={shlex.quote(f'--bootstrap-server {servers}')}"
    yield "# If Kafka asks the administrator for a user, add: --command-config FILE"
    for topic in topics:
        config = " ".join(f"--config {shlex.quote(pair)}" for pair in _pairs(topic))
        name = shlex.quote(topic.topic)
        yield f"kafka-topics.sh $ADMIN --create --if-not-exists --topic {name} --partitions {topic.partitions} {config}"
    for right in rights:
        operations = " ".join(f"--operation {operation}" for operation in right.operations)
        principal = shlex.quote(prefix + right.role)
        yield f"kafka-acls.sh $ADMIN --add --allow-principal {principal} {operations} {_named(right)}"
    yield "# Only where brokers are older than 2.8:"
    for role in sorted({right.role for right in rights if "Write" in right.operations}):
        principal = shlex.quote(prefix + role)
        yield f"# kafka-acls.sh $ADMIN --add --allow-principal {principal} --operation IdempotentWrite --cluster"


def _pairs(topic: "PlannedTopic") -> list[str]:
    return [f"{name}={value}" for name, value in topic.settings.items()]


def _resource(right: "Right") -> str:
    every = "*" if right.prefix else ""
    return right.resource if right.resource == "cluster" else f"{right.resource} {right.name}{every}"


def _named(right: "Right") -> str:
    """The resource as an option of kafka-acls.sh."""
    if right.resource == "cluster":
        return "--cluster"
    pattern = " --resource-pattern-type prefixed" if right.prefix else ""
    return f"--{right.resource} {shlex.quote(right.name)}{pattern}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
