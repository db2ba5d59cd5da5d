from pathlib import Path

from api.own.page.languages import languages
from ingest.files import reasons
from ingest.files.reasons import WHAT_TO_DO

MANUAL = Path(__file__).parents[3] / "docs/files.md"
COUNTED = {"not-an-uplink", "codec-warning", "other-port", "not-collected", "repeated-zero"}


def test_every_reason_says_what_to_do_and_is_in_the_manual_and_on_the_page() -> None:
    named = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert named == WHAT_TO_DO.keys() | COUNTED
    manual = MANUAL.read_text()
    assert [reason for reason in named if f"`{reason}`" not in manual] == []
    for language in languages().values():
        assert named <= language.sections["reason"].keys()
