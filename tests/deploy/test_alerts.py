"""The alert rules: each fires and clears in promtool, has a runbook, and watches metrics that are there."""

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from tests.deploy.prometheus import FOLDER, ROOT, RULES, promtool
from tests.system import preloaded

assert preloaded  # every module of the product is imported: every metric is registered

CASES = Path(__file__).parent / "alerts.test.yml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_the_rules_and_the_configuration_are_well_formed():
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))


def test_each_alert_fires_and_clears():
    promtool("test", "rules", str(CASES))


def test_no_alert_is_without_a_case_in_which_it_fires_and_one_in_which_it_has_cleared():
    shown: dict[str, list[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for each in case["alert_rule_test"]:
            shown.setdefault(each["alertname"], []).append(bool(each["exp_alerts"]))
    assert shown == {rule["alert"]: [True, False] for rule in ALERTS}


def test_each_alert_is_drilled_with_what_the_real_parts_show():
    """In a process of the tests, or with Prometheus on a container engine."""
    drills = [*CASES.parent.glob("test_drills_*.py"), ROOT / "tests" / "containers" / "test_one_city.py"]
    said = set(re.findall(r'"(Sistercity\w+)"', "".join(file.read_text() for file in drills)))
    assert said == {rule["alert"] for rule in ALERTS}


def test_each_alert_has_a_runbook_that_says_when_it_clears():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs/runbooks.md").read_text(), re.M | re.S))
    assert list(sections) == sorted(sections, key=[rule["alert"] for rule in ALERTS].index)
    for rule in ALERTS:
        name = rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
        assert re.findall(r"^\*\*(.*?)\*\*", sections[name], re.M) == ["Means.", "Look at", "Do.", "Clears"], name


def test_each_metric_of_a_rule_is_exported():
    exported = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith("sistercity_")
    }
    watched = {name for rule in ALERTS for name in re.findall(r"\bsistercity_\w+", rule["expr"])}
    assert watched - exported == set()


def test_prometheus_looks_for_every_role_of_the_compose_file():
    [job] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    [found] = job["dns_sd_configs"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    once = {"migrate", "topics", "cli", "kafka", "postgres", "prometheus"}
    assert sorted(found["names"]) == sorted(set(services) - once)
