"""What roles show at /metrics, put to promtool: an alert fires while something is wrong, and clears when it is not.

Only time is made up, so that nobody waits for hours: a scrape stands for all those until the next one. promtool's clock
begins at 0, so Unix times are moved with it.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.prometheus import RULES, promtool

_EMPTY_MIN = 4 * 60
"""So that a Unix time of some hours ago is not below 0."""
_BEFORE_MIN = 10
_UNITS = {"m": 1, "h": 60, "d": 24 * 60}
_MINUTES = re.compile(r"(\d+)([mhd])\b")
_UNIX_TIME = re.compile(r"_(timestamp|tick|clock)_seconds$")
_NEEDS_RANGE = re.compile(r"_over_time|deriv")
_TARGET = 'instance="drilled:9100",job="sistercity"'


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one scrape by series, and when it was made, in seconds since 1970."""

    at_s: float
    samples: dict[str, float]


def scrape(*of: str, at_ms: float | None = None) -> Scrape:
    """What /metrics of this process says at a time, by default now; `of` leaves out series in which none of it is."""
    found = {}
    for family in text_string_to_metric_families(generate_latest().decode()):
        for sample in family.samples:
            labels = "".join(f"{name}={json.dumps(value)}," for name, value in sample.labels.items())
            series = f"{sample.name}{{{labels}{_TARGET}}}"
            if not of or any(word in series for word in of):
                found[series] = sample.value
    return Scrape(time.time() if at_ms is None else at_ms / 1000, found)


def assert_fires_and_clears(alert: str, well: Scrape, wrong: Sequence[Scrape], mended: Scrape, folder: Path) -> None:
    """Assert that the alert does not fire while all is well, fires with the scrapes in `wrong`, and clears later.

    Counters count from `well` on, since other tests of this process have counted, too.
    """
    groups = yaml.safe_load(RULES.read_text())["groups"]
    [rule] = [rule for group in groups for rule in group["rules"] if rule["alert"] == alert]
    ranges = [int(count) * _UNITS[unit] for count, unit in _MINUTES.findall(rule["expr"])]
    holds = sum(int(count) * _UNITS[unit] for count, unit in _MINUTES.findall(rule.get("for", "0m")))
    fires_after = holds + 3 + (max(ranges, default=0) if _NEEDS_RANGE.search(rule["expr"]) else 0)
    clears_after = holds + 3 + max(ranges, default=0)
    phases = [(well, _BEFORE_MIN), *((each, -(-fires_after // len(wrong))) for each in wrong), (mended, clears_after)]
    fires_at = sum(minutes for _, minutes in phases[:-1])
    names = set(re.findall(r"\bsistercity_\w+", rule["expr"]))
    series = sorted({each for scraped, _ in phases for each in scraped.samples if each.partition("{")[0] in names})
    times = {_BEFORE_MIN - 1: False, fires_at - 1: True, fires_at + clears_after - 1: False}
    given = [{"series": each, "values": " ".join(_values(each, phases))} for each in series]
    expected = [_firing(alert, _EMPTY_MIN + minute, firing) for minute, firing in times.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": expected}
    file = folder / f"{alert}.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


def _firing(alert: str, minute: int, firing: bool) -> dict[str, object]:
    expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0'
    found = [{"labels": "{}", "value": 1}] if firing else []
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": found}


def _values(series: str, phases: Sequence[tuple[Scrape, int]]) -> list[str]:
    """One value a minute; a Unix time as far from promtool's clock as it was from the clock of the scrape."""
    values = ["_"] * _EMPTY_MIN
    name = series.partition("{")[0]
    before = phases[0][0].samples.get(series, 0.0) if name.endswith("_total") else 0.0
    for scraped, minutes in phases:
        found, begun = scraped.samples.get(series), len(values)
        for minute in range(begun, begun + minutes):
            since = scraped.at_s - 60 * (minute if "_clock_" in name else begun)
            moved = 0 if found == 0 or not _UNIX_TIME.search(name) else since
            values.append("_" if found is None else repr(found - before - moved))
    return values
