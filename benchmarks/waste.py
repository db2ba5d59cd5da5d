"""What a fill level of a bin costs: as `benchmarks.energy`, with moments instead of intervals, and a mean of the last.

Each bin of the city reports at a minute of its own, once an hour; one report in a hundred comes twice.
"""

from benchmarks.energy import options, run
from benchmarks.readings import waste


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = options(__doc__)
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--hours", type=int, default=24)
    chosen = parser.parse_args()
    run("waste", "Fill levels of bins", waste(chosen.bins, chosen.hours, partitions=chosen.partitions), chosen)


if __name__ == "__main__":
    main()
