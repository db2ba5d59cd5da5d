"""Who follows partners shows those of today alone: one whose agreement has ended is not one that does not answer."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from federation.identity.expiry import IDENTITY_EXPIRES
from federation.partners.pulling import follow
from store.agreements import InstalledAgreement, revoke
from store.database import connect
from store.partner_standing import record_pull
from tests.federation.stage import Stage, staged
from tests.federation.talking import TalkingCity, agree, agreed, pulling
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


def shown(agreement: InstalledAgreement) -> list[bool]:
    """Whether each metric names the agreement, or its city."""
    of_city = {"city": agreement.city}
    labels = [of_city if "identity" in name else of_city | {"agreement": agreement.id} for name in SHOWN]
    return [REGISTRY.get_sample_value(name, each) is not None for name, each in zip(SHOWN, labels, strict=True)]


def test_a_partner_whose_agreement_has_ended_is_in_the_metrics_no_more(stage: Stage) -> None:
    city = TalkingCity("vinh")
    city.say(1)
    city.sign()
    agreement = stage.meet(city)
    assert not any(shown(agreement)), "another test of this process showed it: the pull is not what is waited for"

    async def following() -> None:
        ended = asyncio.Event()
        task = asyncio.create_task(follow(pulling(stage.database_url), ended, poll_s=0.2))
        await asyncio.to_thread(until, lambda: all(shown(agreement)), "the city was pulled")
        with connect(stage.database_url) as connection:
            revoke(connection, agreement.id, "over")
        await asyncio.to_thread(until, lambda: not any(shown(agreement)), "the city is shown no more")
        IDENTITY_EXPIRES.labels(agreement.city).set(0)  # as a thread does whose turn was under way at the end
        await asyncio.to_thread(until, lambda: not any(shown(agreement)), "the city is shown no more", 20)
        ended.set()
        await task

    asyncio.run(following())


def test_a_puller_that_was_restarted_knows_when_each_agreement_was_last_pulled(stage: Stage) -> None:
    lund = TalkingCity("lund")
    earlier = [agreed(lund, "http://127.0.0.1:1/", id=name * 22) for name in "XY"]
    for number, agreement in enumerate(earlier, 1):
        agree(stage.database_url, agreement)
        with connect(stage.database_url) as connection:
            record_pull(connection, agreement.id, agreement.partner, "", at=number * 1000, fresh_until=number * 1000)

    def successes() -> list[float | None]:
        labels = [{"city": "lund", "agreement": agreement.id} for agreement in earlier]
        return [REGISTRY.get_sample_value(SHOWN[0], each) for each in labels]

    async def following() -> None:
        ended = asyncio.Event()
        task = asyncio.create_task(follow(pulling(stage.database_url), ended, poll_s=0.2))
        await asyncio.to_thread(until, lambda: successes() == [1.0, 2.0], "both are shown as they were")
        ended.set()
        await task

    asyncio.run(following())
