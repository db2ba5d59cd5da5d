"""`python -m node` is the `sistercity` command."""

from node.cli import main

main()
