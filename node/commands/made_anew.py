"""`sistercity topics made-anew`: going on after Kafka was lost."""

from typing import Annotated

import typer

from node import wiring

_PATIENCE_S = 10


def made_anew(
    accept: Annotated[
        bool, typer.Option(help="go on with the topics as they are now; without it, only show them")
    ] = False,
) -> None:
    """Show which topics are not those that were processed, as after a loss of Kafka, and go on with the new ones."""
    import logging

    from eventlog.protocol import UnknownTopic
    from store.replaced_topics import accept_new_topic, known_topics

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # errors are printed once, by this command
    city, log = wiring.city().id, wiring.log(patience_s=_PATIENCE_S)
    with wiring.database("topics") as connection:
        changed = []
        for known in known_topics(connection):
            if not known.topic.startswith(f"{city}."):
                continue
            try:
                found = log.describe(known.topic)
            except UnknownTopic:
                typer.echo(f"{known.topic}: is not there; `sistercity topics create` makes those of running streams")
                continue
            if (found.cluster_id, found.topic_id) == (known.cluster_id, known.topic_id):
                continue
            if found.partitions != known.partitions:
                raise wiring.CommandError(
                    f"{known.topic} had {known.partitions} partitions, and the new one has {found.partitions}: delete"
                    f" it, and make it with SISTERCITY_PARTITIONS={known.partitions}; nothing was changed"
                )
            changed.append((known, found))
            typer.echo(
                f"{known.topic}: made anew. {known.messages:,} messages of the former one are accounted for;"
                f" {known.open:,} readings are in open windows, and lost unless their senders send them again"
            )
        for known, found in changed if accept else ():
            if not accept_new_topic(connection, known, found.cluster_id, found.topic_id):
                raise wiring.CommandError(f"{known.topic} was changed by another process meanwhile: look again")
    if not changed:
        typer.echo("every topic that is there is the one that was processed")
    elif accept:
        typer.echo("accepted: `sistercity process --accept-cut` goes on at their beginnings")
    else:
        typer.echo("nothing was changed: --accept goes on with them")
