import cv2
import pytest

from node.plate_detection import prepare_opencv


@pytest.fixture(autouse=True)
def as_the_command_does():
    """One thread, and no line for every broken frame of a video."""
    before = cv2.getNumThreads(), cv2.utils.logging.getLogLevel()
    prepare_opencv()
    yield
    cv2.setNumThreads(before[0])
    cv2.utils.logging.setLogLevel(before[1])
