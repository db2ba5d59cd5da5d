"""What a simulator reports of what it sent: in its log, and in a file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.cameras.simulated import ExpectedPictures
    from ingest.simulated.faults import ExpectedReadings


def sent_in_words(sent: "ExpectedReadings | ExpectedPictures") -> str:
    """One line for the log: what was sent, and which of it a node is expected not to count."""
    faults = ("duplicate", "late", "rejected")
    counts = ", ".join(f"{getattr(sent, fault):,} {fault}" for fault in faults)
    return (
        f"sent {sent.readings:,} readings ({counts}) in {sent.messages:,} messages, {sent.dead:,} of them unreadable;"
        f" {sent.refused:,} readings were refused before"
    )


def write_report(path: Path, content: object) -> None:
    """Write JSON in one step: a reader that waits for the file finds all of it. Raises `OSError`."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content))
    draft.replace(path)
