"""`sistercity ingest`: sources to Kafka. A module for each kind of source."""

import typer

from node.commands.ingest import camera, files
from node.commands.ingest.run import run
from node.commands.ingest.simulate import simulate
from node.commands.ingest.waste import simulate_waste

app = typer.Typer(help="Send a source's readings to Kafka.", no_args_is_help=True)
app.command()(simulate)
app.command()(simulate_waste)
app.command()(run)
app.command()(files.table)
app.command()(files.household)
app.command()(files.green_button)
app.command()(files.solar)
app.command()(files.smart_bins)
app.command()(files.lorawan)
app.command()(files.trash_wheel)
app.command()(files.dsny)
app.command()(camera.camera)
app.command()(camera.cameras)
app.command()(camera.simulate_cameras)
