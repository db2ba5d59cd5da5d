"""The table of metrics in docs/metrics.md: it names every metric, and each role exports those that it is said to."""

import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from prometheus_client import REGISTRY

from tests.labels import LABELS
from tests.system import preloaded

assert preloaded  # every module of the product is imported: every metric is registered

GUIDE = Path(__file__).parents[2] / "docs" / "metrics.md"
COMMANDS = {
    "process": "node.commands.process",
    "detect": "node.commands.detect",
    "correct": "node.commands.correct",
    "publish": "node.commands.publish",
    "pull": "node.commands.pull",
    "serve": "node.commands.serve",
    "serve-partners": "node.commands.serve_partners",
    "ingest": "node.commands.ingest.simulate",
    "ingest run": "node.commands.ingest.run",
    "cameras": "node.commands.ingest.camera",
    "relay": "node.commands.relay_dead_letters",
}
ROW = re.compile(r"^\| (`sistercity_.*?) \| (.*?) \|", re.MULTILINE)
DEFINED = re.compile(r'(Counter|Gauge|Histogram)\(\s*"(sistercity_\w+)"')


def documented() -> Iterator[tuple[str, str]]:
    """(metric, role) of every row."""
    for names, roles in ROW.findall(GUIDE.read_text(encoding="utf-8")):
        for name in re.findall(r"`(\w+)`", names):
            for role in COMMANDS if roles == "every role" else roles.split(", "):
                yield name, role


def exported() -> set[str]:
    """The names of all metrics as Prometheus sees them."""
    families = [family for family in REGISTRY.collect() if family.name.startswith("sistercity_")]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


@pytest.fixture(scope="module")
def defined_in() -> dict[str, str]:
    """Metric -> the module that registers it."""
    found = {}
    for path in GUIDE.parents[1].glob("[!.]*/**/*.py"):
        for kind, name in DEFINED.findall(path.read_text(encoding="utf-8")):
            module = ".".join(path.relative_to(GUIDE.parents[1]).with_suffix("").parts)
            found[name + ("_total" if kind == "Counter" else "")] = module
    return found


def test_every_metric_is_in_the_table_and_none_that_is_not():
    assert {name for name, _ in documented()} == exported()


def test_each_role_imports_what_registers_its_metrics(defined_in):
    graph = grimp.build_graph(
        *("addresses", "errors", "schemas", "eventlog", "store", "ingest", "processors", "federation", "api", "node"),
        "embedded",
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    loaded = {role: graph.find_upstream_modules(module) for role, module in COMMANDS.items()}
    assert [(name, role) for name, role in documented() if defined_in[name] not in loaded[role]] == []


def test_no_label_names_an_area_a_source_or_a_camera():
    names = {label for collector in REGISTRY._collector_to_names for label in getattr(collector, "_labelnames", ())}
    assert names <= LABELS | {"method", "generation", "implementation"}  # those of the client library itself
