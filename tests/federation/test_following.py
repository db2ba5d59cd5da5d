"""Who follows partners shows those of today alone: one whose agreement has ended is not one that does not answer."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from federation.partners.pulling import follow
from store.agreements import revoke
from store.database import connect
from tests.federation.stage import Stage, staged
from tests.federation.talking import TalkingCity, pulling
from tests.waiting import until

pytestmark = pytest.mark.services

SHOWN = (
    "sistercity_partner_last_success_timestamp_seconds",
    "sistercity_identity_expires_timestamp_seconds",
    "sistercity_agreement_expires_timestamp_seconds",
)


@pytest.fixture(scope="module")
def stage(module_database_url: str) -> Iterator[Stage]:
    with staged(module_database_url) as found:
        yield found


def shown(city: TalkingCity) -> list[bool]:
    return [REGISTRY.get_sample_value(name, {"city": city.city}) is not None for name in SHOWN]


def test_a_partner_whose_agreement_has_ended_is_in_the_metrics_no_more(stage: Stage) -> None:
    hue = TalkingCity()
    hue.say(1)
    hue.sign()
    agreement = stage.meet(hue)

    async def following() -> None:
        ended = asyncio.Event()
        task = asyncio.create_task(follow(pulling(stage.database_url), ended, poll_s=0.2))
        await asyncio.to_thread(until, lambda: all(shown(hue)), "the city was pulled")
        with connect(stage.database_url) as connection:
            revoke(connection, agreement.id, "over")
        await asyncio.to_thread(until, lambda: not any(shown(hue)), "the city is shown no more")
        ended.set()
        await task

    asyncio.run(following())
