"""The pages of sources, as they stand there: each sample is tried by its command, and says what the page says."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingest.codecs.device import shipped_devices
from ingest.live.sources_file import SourcesFileError, load_sources
from ingest.tables.profile_file import shipped_profiles
from node.cli import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
_FILE = re.compile(r"^[^\n]*`([\w.-]+)`[^\n`]*:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LIST = re.compile(r"^```toml\n((?:(?!^```$).)*?^\[\[\w+\]\]$.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a page's consoles, with what they say."""
    parts = [part for block in _CONSOLE.findall(text) for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, said.strip("\n")) for command, _, said in (part.partition("\n") for part in parts)]


def kept(text: str, folder: Path) -> None:
    """Write the files of a page, and make the folders that its lists of sources name."""
    for name, content in _FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")
    for path in re.findall(r'^path = "([\w-]+)"', text, re.MULTILINE):
        (folder / path).mkdir(exist_ok=True)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if commands(text)])
def test_each_sample_gives_what_its_page_says(page: str, tmp_path: Path, monkeypatch) -> None:
    kept(PAGES[page], tmp_path)
    monkeypatch.chdir(tmp_path)
    for command, said in commands(PAGES[page]):
        program, *words = shlex.split(command)
        done = CliRunner().invoke(app, words)
        assert (program, done.exit_code, done.stdout.strip("\n")) == ("sistercity", 0, said), command


def test_every_profile_of_the_package_has_a_page_that_tries_it() -> None:
    tried = {
        name
        for page, text in PAGES.items()
        if page.startswith("sources/")
        for command, _ in commands(text)
        for name in re.findall(r"--profile (\S+)", command)
    }
    assert tried == set(shipped_profiles())


def test_every_device_of_the_package_is_named_on_the_page_of_devices() -> None:
    assert [name for name in shipped_devices() if f"`{name}`" not in PAGES["devices.md"]] == []
    assert any("--device" in command for command, _ in commands(PAGES["devices.md"]))


def test_every_page_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES["sources/README.md"]))
    assert {f"sources/{name}" for name in linked} == {
        page for page in PAGES if page.startswith("sources/") and page != "sources/README.md"
    }


def test_every_kind_of_live_source_has_a_page_with_a_list_that_is_valid(tmp_path: Path) -> None:
    sources = tmp_path / "sources.toml"
    for number in range(10):
        (tmp_path / str(number)).mkdir()
    sources.write_text("unknown = 1\n")
    with pytest.raises(SourcesFileError) as refused:
        load_sources(sources)
    kinds = set(re.findall(r"\w+", str(refused.value).rpartition("may have")[2])) - {"listen"}
    assert "folder" in kinds
    shown: set[str] = set()
    for listed in [block for text in PAGES.values() for block in _LIST.findall(text)]:
        of_list = set(re.findall(r"^\[\[(\w+)\]\]$", listed, re.MULTILINE)) & kinds
        if of_list:
            parts = re.split(r'^path = ".*"', listed, flags=re.MULTILINE)
            named = [f'path = "{number}"{part}' for number, part in enumerate(parts[1:])]
            sources.write_text("".join([parts[0], *named]))
            load_sources(sources)
            shown |= of_list
    assert kinds - shown == set()
