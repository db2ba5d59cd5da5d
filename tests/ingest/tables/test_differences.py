"""States of a register by a profile: differences of neighbours, and in words what is none."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.tables import text
from ingest.tables.profile import Said
from ingest.tables.profile_file import ProfileError, parse_profile
from ingest.tables.table import Table
from tests.ingest.files.imports import imported, outcomes, parsed, reasons, register

KWH = 3_600_000_000
QUARTER = 900_000
TEXT = """title = "t"
metric = "energy.import"
[source]
text = "{meter}"
[time]
columns = "time"
formats = "%Y-%m-%d %H:%M"
zone = "UTC"
[value]
column = "kwh"
unit = "kWh"
cumulative = true
[interval]
seconds = 900
"""
TABLE = Table(parse_profile(TEXT, "t", "t.toml"), Said(), ZoneInfo("UTC"))


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str) -> Path:
        path = tmp_path / "states.csv"
        path.write_text("".join(f"{line}\n" for line in ("meter,time,kwh", *lines)))
        return path

    return write


def clock(quarter: int) -> str:
    return f"2026-07-{1 + quarter // 96:02} {quarter % 96 // 4:02}:{quarter % 4 * 15:02}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 9_999)), min_size=1, max_size=60), st.integers(60, 900))
def test_the_sum_of_the_readings_is_the_last_state_less_the_first(file, steps, block: int) -> None:
    states = {"a": 99_000_000, "b": 5}
    lines = []
    for quarter, added in enumerate(steps):
        for meter, more in zip("ab", added, strict=True):
            states[meter] += more
            lines.append(f"{meter},{clock(quarter)},{states[meter] // 1_000}.{states[meter] % 1_000:03}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", block)
        found = parsed(TABLE, file(*lines))
    for place, meter in enumerate("ab"):
        values = [reading.value for reading in found if reading.source == meter]
        assert values == [round(Fraction(added[place], 1_000) * KWH) for added in steps[1:]]
    assert {reading.interval_ms for reading in found} <= {QUARTER}


def test_what_is_no_difference_of_neighbours_is_refused_in_words(file) -> None:
    path = file(
        f"a,{clock(0)},99998.5",
        f"a,{clock(1)},99999.5",
        f"a,{clock(2)},0.5",  # rolled over, or replaced
        f"a,{clock(3)},1",
        f"a,{clock(3)},1",  # repeated
        f"a,{clock(3)},2",
        f"a,{clock(6)},4",  # after a gap
        f"a,{clock(7)},x",
        f"a,{clock(8)},5",
        f"a,{clock(9)},5.25",
        f"a,{clock(8)},5",  # back in time
        f"b,{clock(9)},7",
    )
    assert [(reading.position, reading.value / KWH) for reading in parsed(TABLE, path)] == [
        (3, 1),
        (5, 0.5),
        (11, 0.25),
    ]
    assert reasons(TABLE, path) == {
        **{4: "register-fell", 7: "contradiction", 8: "register-step", 9: "number"},
        **{10: "register-step", 12: "register-step"},
    }
    empty = [
        outcome.reason
        for outcome in outcomes(TABLE, path)
        if hasattr(outcome, "reason") and not hasattr(outcome, "position")
    ]
    assert sorted(empty) == ["first-state", "first-state", "repeated-state"]
    report, _, _ = imported(TABLE, path, register("a", "b"))
    assert report.read == report.readings + sum(report.refused.values()) + sum(report.empty.values()) == 12


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seconds = 900", 'column = "len"\nunit = "minutes"'),
        ('unit = "kWh"', 'unit = "kW"'),
        ("seconds = 900", 'seconds = 900\nuntil = "end"'),
    ],
)
def test_states_need_a_column_of_energy_and_a_fixed_interval(old: str, new: str) -> None:
    with pytest.raises(ProfileError, match="states of a register"):
        parse_profile(TEXT.replace(old, new), "t", "t.toml")
