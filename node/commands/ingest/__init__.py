"""`sistercity ingest`: sources to Kafka. One module a kind of source."""

import typer

from node.commands.ingest.files import household
from node.commands.ingest.simulate import simulate

app = typer.Typer(help="Send a source's readings to Kafka.", no_args_is_help=True)
app.command()(simulate)
app.command()(household)
