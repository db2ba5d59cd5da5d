"""Examples in the API's description. Each is valid under the model that it shows; a test holds that."""

from typing import Any

from api.problems import problem
from federation.disclosure.rules import rule_of
from federation.wire import InvalidParameter

_RULE = rule_of("customers-100-15")
_LOG = "6c1f2c1e-8f2a-4b6e-9d57-0a4f4f1c2b3d"

_CELLS: list[dict[str, Any]] = [
    {"area": 1, "class": "commercial", "status": "suppressed", "rule": "customers-100-15"},
    {
        "area": 1,
        "class": "residential",
        "status": "released",
        "value": 1_482_480_000_000,
        "coverage": "high",
        "rule": "customers-100-15",
    },
]

_REVISION: dict[str, Any] = {
    "sequence": 2,
    "revision": 0,
    "window": {"start": "2025-06-01T05:30:00Z", "end": "2025-06-01T06:30:00Z"},
    "published_at": "2025-06-01T07:31:02.418Z",
    "cells": _CELLS,
}

CATALOG: dict[str, Any] = {
    "city": {
        "id": "isfahan",
        "name": "Isfahan",
        "names": {"fa": "اصفهان", "en": "Isfahan"},
        "country": "IR",
        "zone": "Asia/Tehran",
        "population": 1_961_260,
        "districts": 15,
        "sources": ["Census of 2016"],
    },
    "log": _LOG,
    "metrics": [
        {
            "name": "energy.import",
            "title": "Electricity taken from the grid",
            "definition": "Energy that customers drew from the grid, summed over the meters of an area.",
            "dataset": "energy.readings",
            "unit": "Wh",
            "smallest_unit": "mJ",
            "smallest_per_unit": 3_600_000,
            "base": 360_000_000,
            "kind": "sum",
            "contributor": "customer",
            "classes": ["residential", "commercial"],
            "window": "hour",
            "lateness_seconds": 3600,
            "rule": {
                "id": _RULE.id,
                "words": _RULE.words,
                "source": _RULE.source,
                "thresholds": [
                    {"class": "residential", "minimum": 100, "dominance_percent": 15, "minimum_of_largest": 0},
                    {"class": "commercial", "minimum": 15, "dominance_percent": 15, "minimum_of_largest": 0},
                ],
            },
            "detectors": [],
            "areas": [{"number": 1, "name": "District 1", "population": 79_091, "valid_from": "2025-03-20T20:30:00Z"}],
        }
    ],
}

SERIES: dict[str, Any] = {
    "city": "isfahan",
    "metric": "energy.import",
    "unit": "mJ",
    "windows": [_REVISION],
    "next": "2025-06-01T06:30:00Z",  # not null: the framework drops nulls from what it shows
}

UNKNOWN_FILTER = problem(400, "unknown-class", "No such class", "energy.import has the classes residential, commercial")
UNKNOWN_METRIC = problem(404, "unknown-metric", "No such metric", "'energy.exprot' is not in the catalogue")
INVALID = problem(
    422,
    "invalid-parameters",
    "Parameters were refused",
    "limit: Input should be less than or equal to 1000",
    [InvalidParameter(name="limit", reason="Input should be less than or equal to 1000")],
)
