"""What a reading costs that travels alone: as `benchmarks.energy`, with a single reading in each message.

Meters report in the order of their clocks, so that areas and classes alternate from message to message.
"""

from benchmarks.energy import options, run
from benchmarks.readings import energy


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    parser = options(__doc__)
    parser.add_argument("--readings", type=int, default=200_000, help="of half as many meters")
    chosen = parser.parse_args()
    stream = energy(chosen.readings // 2, 2, partitions=chosen.partitions, rows=1)
    run("singles", "Energy, one reading a message", stream, chosen)


if __name__ == "__main__":
    main()
