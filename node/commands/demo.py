"""`sistercity demo`: two cities exchange a day of energy on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from node import lifecycle
from node.settings import settings


def demo(
    once: Annotated[
        bool, typer.Option(help="end when the table is printed; exit code 0 if every account adds up")
    ] = False,
    meters: Annotated[int, typer.Option(min=1_000, help="meters of each city")] = 10_000,
    output: Annotated[Path, typer.Option(help="where the numbers are written")] = Path("demo.json"),
) -> None:
    """Start Isfahan and Ho Chi Minh City, exchange a day, compare them per person, and stay up until Ctrl-C.

    Each city has its own database, topics, processor, publisher, API and puller. Data of an earlier demo is removed.
    """
    from node.demo.children import preload

    preload()  # before the imports of the demo itself, which take a second
    from node.demo.run import run

    stop = lifecycle.start("demo")
    run(settings().home, stop, once=once, meters=meters, output=output)
