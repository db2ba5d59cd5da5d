"""What every detector of plate regions promises."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Detector(Protocol):
    """Finds where plates are in a picture; none is ever read."""

    @property
    def name(self) -> str:
        """Which detector it is."""

    @property
    def version(self) -> str:
        """Another version may find other regions in the same picture."""

    def detect(self, picture: NDArray[np.uint8]) -> NDArray[np.void]:
        """The regions of a picture, shape (h, w, 3), BGR, of any size; none for one that is too small.

        Dtype `schemas.batch.REGION`, shape (n,), in order of y, then x. The same picture gives the same regions.
        """
