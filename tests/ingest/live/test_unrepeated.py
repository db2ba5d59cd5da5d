"""Of answers that list the same readings again and again, each reading is sent when it is new, and only then."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.reading import NotSuchFile, Parsed
from ingest.live import unrepeated as module
from ingest.live.readings import SentReadings
from ingest.live.unrepeated import LastAnswer, Unrepeated

Page = Sequence[tuple[int, int]]
"""Source and value of each reading."""


class Answers:
    """Reads answers of pages as a poll does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.last = LastAnswer()
        self._form = Unrepeated(SentReadings("energy.readings"), self.last)

    def read(self, name: str, text: str) -> Page:
        """Source and value of what would be sent of a page."""
        path = self._folder / name
        path.write_text(text)
        found = [outcome for outcome in self._form.read(path) if isinstance(outcome, Parsed)]
        return [(int(parsed.source or ""), parsed.value // 3_600_000) for parsed in found]

    def sent(self, pages: Sequence[Page], *, taken: bool = True) -> Page:
        """What would be sent of an answer; `taken`: the log has it."""
        found = [pair for number, page in enumerate(pages) for pair in self.read(str(number), written(page))]
        if taken:
            self.last.accept([str(number) for number in range(len(pages))])
        else:
            self.last.forget()
        return found


def written(page: Page) -> str:
    same = {"metric": "energy.import", "start": "2026-11-27T10:00:00Z", "interval_s": 900, "unit": "Wh"}
    return "[" + ",\n".join(json.dumps({**same, "source": str(source), "value": value}) for source, value in page) + "]"


@given(
    st.lists(
        st.tuples(
            st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=4), max_size=3), st.booleans()
        )
    )
)
def test_what_the_last_answer_had_is_passed_over_and_nothing_else(tmp_path_factory, answers) -> None:
    reader = Answers(tmp_path_factory.mktemp("answers"))
    had: set[tuple[int, int]] = set()
    for pages, taken in answers:
        every = [pair for page in pages for pair in page]
        assert list(reader.sent(pages, taken=taken)) == [pair for pair in every if pair not in had]
        had = set(every) if taken else had


def test_a_page_that_is_not_read_is_as_before(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.sent([[(0, 1)], [(1, 1)]])
    answers.read("1", written([(1, 2)]))
    answers.last.accept(["0", "1"])
    assert answers.sent([[(0, 1)], [(1, 1), (1, 2)]]) == [(1, 1)]


def test_nothing_of_an_answer_that_was_refused_as_a_whole_was_sent(tmp_path: Path) -> None:
    answers, page = Answers(tmp_path), [(0, 1), (1, 1)]
    form = Unrepeated(_Cut(), answers.last)
    with pytest.raises(NotSuchFile):
        list(form.pieces(tmp_path / "0"))
    answers.last.accept(["0"])
    assert answers.sent([page]) == page


def test_more_readings_than_are_remembered_are_sent_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    answers, pages = Answers(tmp_path), [[(0, 1), (1, 1)], [(2, 1)]]
    assert answers.sent(pages) == [(0, 1), (1, 1), (2, 1)]
    assert answers.sent(pages) == [(2, 1)]


class _Cut(SentReadings):
    """Gives the readings of a page, and then finds that its document is cut."""

    def __init__(self) -> None:
        super().__init__("energy.readings")

    def pieces(self, path):
        path.write_text(written([(0, 1), (1, 1)]))
        yield from super().pieces(path)
        raise NotSuchFile("it is cut")
