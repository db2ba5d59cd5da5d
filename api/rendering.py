"""The store's contents as JSON values of `federation.wire`.

Plain dicts and lists, because a page holds up to 100,000 cells: one model object per cell would cost more than all the
rest. Tests hold them to the models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from federation.city import CityFacts
from federation.publications.catalogues import catalogue_bytes, metric_facts
from federation.publications.entries import digest
from federation.wire import rfc3339
from schemas.catalogue import Metric
from store.detectors import DetectorUse
from store.publication_log import CellColumns, PublishedArea
from store.publications import Header

Json = dict[str, Any]


def catalog(
    city: CityFacts,
    log: str,
    metrics: Iterable[Metric],
    areas: Mapping[str, Sequence[PublishedArea]],
    detectors: Mapping[str, Sequence[DetectorUse]],
) -> Json:
    """`federation.wire.Catalog`. `areas` by the metric that they are registered for, `detectors` by dataset."""
    return {
        "city": {**asdict(city), "names": dict(city.names), "sources": list(city.sources)},
        "log": log,
        "metrics": [
            _metric(metric, areas.get(metric.registered_as, ()), detectors.get(metric.dataset, ()), city.zone)
            for metric in metrics
        ],
    }


def revision(header: Header, columns: CellColumns) -> Json:
    """`federation.wire.Revision`."""
    return {
        "sequence": header.sequence,
        "revision": header.revision,
        "window": {"start": rfc3339(header.window.start), "end": rfc3339(header.window.end)},
        "published_at": rfc3339(header.published_at),
        "kind": header.kind,
        **({} if header.reason is None else {"reason": header.reason}),
        "cells": _cells(columns),
    }


def _cells(columns: CellColumns) -> list[Json]:
    return [
        {
            "area": area,
            "class": class_,
            "status": status,
            **({} if value is None else {"value": value, "coverage": coverage}),
            "rule": rule,
        }
        for area, class_, status, value, coverage, rule in zip(
            columns.area, columns.class_, columns.status, columns.value, columns.coverage, columns.rule, strict=True
        )
    ]


def _metric(metric: Metric, areas: Sequence[PublishedArea], detectors: Sequence[DetectorUse], zone: str) -> Json:
    return {
        **metric_facts(metric, areas, zone),
        "hash": digest(catalogue_bytes(metric, areas, zone)),
        "detectors": [{**asdict(use.detector), "since": rfc3339(use.since_ms)} for use in detectors],
    }
