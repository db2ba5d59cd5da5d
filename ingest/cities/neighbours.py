"""Which districts are neighbours, estimated from their centres where no boundaries are available."""

from collections.abc import Sequence
from math import cos, radians

_KM_PER_DEGREE = 111.2


def gabriel_edges(centres: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """The Gabriel graph of centres: two are linked if the circle whose diameter joins them holds no third centre.

    It is planar and contains the minimum spanning tree, so it is always connected. It estimates shared borders. A
    centre exactly on the circle does not separate two others. Source: Gabriel and Sokal (1969).

    Args:
        centres: (latitude, longitude) in degrees, all different, within a few hundred kilometres of each other: they
            are projected to a plane at their mean latitude.

    Returns:
        Pairs of indexes into `centres`, the smaller first, in ascending order.

    Raises:
        ValueError: two centres are the same, so that no circle separates them.
    """
    if len(set(centres)) != len(centres):
        raise ValueError("two centres are the same")
    if not centres:
        return []
    east = _KM_PER_DEGREE * cos(radians(sum(latitude for latitude, _ in centres) / len(centres)))
    flat = [(longitude * east, latitude * _KM_PER_DEGREE) for latitude, longitude in centres]

    edges = []
    for here, (x, y) in enumerate(flat):
        # Nearest first: a centre that separates this pair is nearer to `here` than the other end, so it is found early.
        nearest = sorted(
            ((there_x - x, there_y - y, there) for there, (there_x, there_y) in enumerate(flat) if there != here),
            key=lambda step: step[0] ** 2 + step[1] ** 2,
        )
        for rank, (dx, dy, there) in enumerate(nearest):
            # A third centre is inside the circle if the angle at it is obtuse (Thales).
            separated = any(dx * px + dy * py > px * px + py * py for px, py, _ in nearest[:rank])
            if here < there and not separated:
                edges.append((here, there))
    return sorted(edges)
