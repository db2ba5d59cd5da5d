"""Memory stays flat while the watermark stands still for a day (R10): 3 million readings, in the soak 100 million."""

import json
import subprocess
import sys
from pathlib import Path

from processors.rows import MESSAGE_TYPES, ROW_TYPES
from tests.processors.stalled_day import METERS, QUARTERS
from tests.soak import amount, soak

ROOT = Path(__file__).parents[2]
LIMIT_MB = amount(16, soak=256)
BESIDES_MB = amount(60, soak=250)
"""What numpy, a poll, and a piece of a window take, whatever the number of readings."""


@soak(minutes=3)
def test_memory_is_flat_over_a_day_in_which_no_window_closes(tmp_path):
    areas = amount(6, soak=210)
    arguments = (str(areas), str(LIMIT_MB), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "tests.processors.stalled_day", *arguments], cwd=ROOT, check=True, capture_output=True
    )
    found = json.loads(done.stdout)
    readings = areas * QUARTERS * METERS
    account = found["account"]
    assert found["open_before"] == account["readings"] > readings
    assert (account["aggregated"], account["duplicate"]) == (readings, account["readings"] - readings)
    assert found["right"] == found["cells"] == areas * 24
    row_bytes = sum(of_row.itemsize for of_row in ROW_TYPES[len(MESSAGE_TYPES) :])
    assert found["disk_mb"] > readings * row_bytes / (1 << 20) / 2  # most of it did not fit
    assert max(found["peaks_mb"]) < found["peaks_mb"][0] + LIMIT_MB + BESIDES_MB
    assert list(tmp_path.iterdir()) == []
