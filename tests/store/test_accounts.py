"""What the log holds beyond what senders have recorded."""

import pytest

from store.accounts import StreamAccount
from store.deliveries import DeliveryTotals
from store.processing import Account


def stream(accounted: tuple[int, int], recorded: tuple[int, int]) -> StreamAccount:
    messages, readings = accounted
    account = Account(messages=messages, decoded=messages, readings=readings, aggregated=readings)
    return StreamAccount("town.energy.readings.v1", account, DeliveryTotals(*recorded), 0, 0, 0, 0, {}, {}, {})


@pytest.mark.parametrize(
    ("accounted", "recorded", "unrecorded"),
    [
        pytest.param((10, 300), (10, 300), (0, 0), id="all were recorded"),
        pytest.param((10, 300), (7, 200), (3, 100), id="a sender crashed before it recorded its last messages"),
        pytest.param((4, 120), (10, 300), (0, 0), id="most are still to be processed"),
    ],
)
def test_messages_of_a_sender_that_crashed_are_named_and_miss_nothing(accounted, recorded, unrecorded):
    assert stream(accounted, recorded).unrecorded == DeliveryTotals(*unrecorded)
