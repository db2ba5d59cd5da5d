"""A stage of a module's own, and a city on it that has said two good hours."""

from collections.abc import Iterator

import pytest

from tests.federation.stage import Stage, staged
from tests.federation.talking import TalkingCity


@pytest.fixture(scope="module")
def theatre(module_database_url: str) -> Iterator[Stage]:
    with staged(module_database_url) as found:
        yield found


@pytest.fixture
def stage(theatre: Stage) -> Stage:
    theatre.begin()
    return theatre


@pytest.fixture
def hue(stage: Stage) -> TalkingCity:
    """A city that has said two good hours."""
    city = TalkingCity()
    city.say(0, 1)
    stage.meet(city)
    return city
