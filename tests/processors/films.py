"""Films with known plates, and the vehicles that really passed, for the tests of passes."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ingest.cameras.rendered import RenderedPlate
from processors.tracking.passes import CERTAIN_MS, SIGHTINGS, Passes, passes

Film = Sequence[tuple[int, Sequence[RenderedPlate]]]
"""Pictures: the time of each in milliseconds, and where plates are in it."""


def true_passes(film: Film) -> Counter[int]:
    """Vehicles by form, of those with plates in view for as long, and in as many pictures, as a pass needs.

    In view is the whole plate, as `RenderedCamera.truth` has it. Its characters tell a vehicle from the others.
    """
    seen: dict[tuple[str, int], list[int]] = defaultdict(list)
    for time, plates in film:
        for plate in plates:
            seen[plate.text, plate.form].append(time)
    return Counter(
        form for (_, form), times in seen.items() if len(times) >= SIGHTINGS and times[-1] - times[0] >= CERTAIN_MS
    )


def passes_of_one(start: np.ndarray, frame: np.ndarray, boxes: np.ndarray, *, window_start: int) -> Passes:
    """`processors.tracking.passes.passes` of a single camera."""
    return passes(np.zeros(len(start), np.int64), start, frame, boxes, window_start=window_start)
