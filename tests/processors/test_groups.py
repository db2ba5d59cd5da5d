"""Areas and classes are told apart by the message alone, whatever a partition has met before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.groups import MOST_GROUPS, group_name, group_number
from schemas.batch import DecodeError
from schemas.catalogue import catalogue
from tests.processors.test_reading_fold import batch, fold

METRICS = sorted(catalogue().values(), key=lambda metric: metric.name)


def test_the_areas_that_a_partition_has_met_decide_nothing():
    subject = fold()
    areas = 66_000
    log = [batch(area, (1, 1, 0, 5, 1), area=area) for area in range(areas)]
    subject.feed([replace(record, key=b"%d" % record.offset) for record in log])
    account = subject.step().position.account
    assert (account.dead, account.open) == (0, areas)


@given(st.sampled_from(METRICS), st.integers(0, 2**31 - 1), st.integers(0, 2))
def test_area_and_class_are_read_from_the_number_of_a_group(metric, area, place):
    class_ = metric.classes[place % len(metric.classes)]
    if (area + 1) * len(metric.classes) <= MOST_GROUPS:
        assert group_name(metric, group_number(metric, area, class_)) == (area, class_)


def test_an_area_beyond_all_registers_is_dead_wherever_it_comes():
    metric = catalogue()["waste.collected"]
    with pytest.raises(DecodeError, match="area 2147483647 is out of range"):
        group_number(metric, 2**31 - 1, "organic")


def test_a_class_that_a_metric_does_not_have_is_dead():
    with pytest.raises(DecodeError, match="rural"):
        group_number(catalogue()["energy.import"], 1, "rural")
