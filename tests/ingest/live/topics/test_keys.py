"""The keys of a topic in the list of sources: what does not go together is refused in words."""

from pathlib import Path

import pytest

from ingest.live.sources_file import SourcesFileError, load_sources
from tests.node.test_source_pages import PAGES, kept

LIST = '[[topic]]\nname = "t"\nbootstrap = "kafka:9092"\ntopic = "meters"\n'
PROFILE = 'profile = "telemetry.toml"\n'
AVRO = PROFILE + 'values = "avro"\n'
WRONG = {
    "a start that is none": (PROFILE + 'start = "now"', "earliest, latest"),
    "a user without SASL": (PROFILE + 'username = "x"', "knows no users"),
    "SASL without a user": (PROFILE + 'security_protocol = "SASL_SSL"', "needs sasl_mechanism"),
    "files without TLS": (PROFILE + 'ca_file = "telemetry.avsc"', "knows no TLS"),
    "a schema for JSON": (PROFILE + 'schema_file = "telemetry.avsc"', 'belong to values = "avro"'),
    "Avro without a schema": (AVRO, "either a registry or a schema_file"),
    "Avro without a profile": (
        'readings = "energy.readings"\nvalues = "avro"\nschema_file = "telemetry.avsc"',
        "profile",
    ),
    "a schema that is none": (AVRO + 'schema_file = "telemetry.toml"', "it cannot be used"),
    "a registry in the clear": (AVRO + 'registry = { url = "http://registry" }', "https://"),
    "a secret in an address": (AVRO + 'registry = { url = "https://a:b@registry" }', "without user, password"),
    "a file that is not there": (AVRO + 'registry = { url = "https://r", header_files = { A = "x" } }', "no file"),
    "a profile of tables": ('profile = "fluvius"', r"needs \[json\]"),
    "a profile of an array in a document": ('profile = "bigbelly"', r"\[json\] without records"),
}


@pytest.mark.parametrize(("more", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_go_together_is_refused_in_words(tmp_path: Path, more: str, words: str) -> None:
    kept(PAGES["topics.md"], tmp_path)
    (tmp_path / "sources.toml").write_text(LIST + more)
    with pytest.raises(SourcesFileError, match=words):
        load_sources(tmp_path / "sources.toml")
