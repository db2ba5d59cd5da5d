"""Who borders whom, guessed from centres where no boundaries are at hand."""

from collections.abc import Sequence
from math import cos, radians

_KM_PER_DEGREE = 111.2


def gabriel_edges(centres: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """The Gabriel graph of centres: two are linked if the circle whose diameter joins them holds no third centre.

    It is planar and contains the minimum spanning tree, so it always hangs together; it is a guess at shared borders,
    not a fact about them. A centre exactly on the circle does not part two others.

    Args:
        centres: (latitude, longitude) in degrees, all different, within a few hundred kilometres of each other: they
            are laid flat at their mean latitude.

    Returns:
        Pairs of indexes into `centres`, the smaller first, in ascending order.

    Raises:
        ValueError: two centres are the same, so that no circle parts them.
    """
    if len(set(centres)) != len(centres):
        raise ValueError("two centres are the same")
    if not centres:
        return []
    east = _KM_PER_DEGREE * cos(radians(sum(latitude for latitude, _ in centres) / len(centres)))
    flat = [(longitude * east, latitude * _KM_PER_DEGREE) for latitude, longitude in centres]

    edges = []
    for here, (x, y) in enumerate(flat):
        # Nearest first: a centre that parts this pair is nearer to `here` than its other end is, and soon found.
        nearest = sorted(
            ((other_x - x, other_y - y, other) for other, (other_x, other_y) in enumerate(flat) if other != here),
            key=lambda step: step[0] ** 2 + step[1] ** 2,
        )
        for rank, (dx, dy, there) in enumerate(nearest):
            # Inside the circle over here-there means that the angle at the third centre is obtuse.
            parted = any(dx * px + dy * py > px * px + py * py for px, py, _ in nearest[:rank])
            if here < there and not parted:
                edges.append((here, there))
    return sorted(edges)
