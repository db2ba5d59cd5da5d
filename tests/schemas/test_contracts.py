"""What may never change by accident: schema ids, and that every version of a dataset reads every other."""

import copy
import io
import itertools

import fastavro
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from fastavro.utils import generate_one

from schemas.batch import layout_of
from schemas.catalogue import catalogue, metrics_of
from schemas.registry import schema_named, schemas
from schemas.rules import minimum_contributors
from schemas.topics import FRAMES, dataset_of, history, live, settings

COMMITTED = {
    1: "5fae47ff8f7c369b",
    2: "1c07bbbd91fcddab",
    3: "82e61dc7355ceed5",
    4: "a06f0fddc22683de",
    5: "e1c516a95f6dc65e",
    6: "071d40c889c2b20e",
    7: "3a39ec065853707b",
    8: "4b5224f81d56ebe8",
    9: "b741a8e2e2799003",
    10: "1ac3d789b07aecb9",
    11: "1881301a39ac1a0f",
}
"""Schema id -> CRC-64-AVRO of its canonical form. A line here is never changed, only added."""


def canonical(schema) -> str:
    return to_parsing_canonical_form(copy.deepcopy(dict(schema.definition)))


def test_a_committed_schema_never_changes():
    assert {number: fingerprint(canonical(schema), "CRC-64-AVRO") for number, schema in schemas().items()} == COMMITTED


def test_every_batch_can_be_viewed():
    for schema in schemas().values():
        if schema.dataset != FRAMES:
            assert schema.is_batch
            layout_of(schema.definition)


def pairs():
    in_order = sorted(schemas().values(), key=lambda schema: (schema.dataset, schema.version))
    by_dataset = itertools.groupby(in_order, key=lambda schema: schema.dataset)
    return [pair for _, versions in by_dataset for pair in itertools.product(list(versions), repeat=2)]


@pytest.mark.parametrize(("writer", "reader"), pairs(), ids=lambda schema: schema.name)
def test_every_version_reads_every_other(writer, reader):
    """FULL_TRANSITIVE: forwards and backwards, over all versions."""
    of_writer, of_reader = (
        fastavro.parse_schema(copy.deepcopy(dict(schema.definition))) for schema in (writer, reader)
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, of_writer, generate_one(of_writer))
    out.seek(0)
    fastavro.schemaless_reader(out, of_writer, of_reader)


@pytest.mark.parametrize("metric", catalogue().values(), ids=lambda metric: metric.name)
def test_a_metric_is_whole(metric):
    assert metric.longest_window_ms > 0
    assert metric.lateness_ms >= 0
    assert metric.minimum < metric.maximum <= 2**53  # what a double on the wire holds exactly
    assert metric in metrics_of(metric.dataset)
    assert schema_named(f"{metric.dataset}.v1")
    assert settings(metric.dataset)["message.timestamp.type"] == "LogAppendTime"
    # A camera or a counter sees many: its rule counts what it saw.
    least = 1 if metric.contributor in ("camera", "counter") else 11
    assert all(minimum_contributors(metric.rule, class_) >= least for class_ in metric.classes)


def test_topics_say_city_dataset_and_version():
    assert live("isfahan", "energy.readings") == "isfahan.energy.readings.v1"
    assert history("isfahan", "energy.readings", "house-2007") == "isfahan.energy.readings.history.house-2007.v1"
    for topic in (live("isfahan", "energy.readings"), history("isfahan", "energy.readings", "x")):
        assert dataset_of(topic) == "energy.readings"


@pytest.mark.parametrize("name", ["", "House", "a.b", "a--b", "-a", "a b"])
def test_an_import_has_a_name_that_fits_a_topic(name):
    with pytest.raises(ValueError, match="can't name an import"):
        history("isfahan", "energy.readings", name)
