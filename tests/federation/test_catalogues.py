"""Every entry names the catalogue of its metric, which is kept by its hash."""

import pytest

from federation.publications.catalogues import catalogue_bytes
from federation.publications.chain import BrokenChain, check_body, check_catalogue
from federation.publications.entries import digest, entry_of
from federation.wire import MetricCatalogue
from store.catalogues import catalogue_of_hash
from store.database import connect
from store.publication_log import published_areas
from tests.federation.city import IMPORT, T0, found_areas, open_topic
from tests.federation.restoring import publish_hours_until

DAY = 86_400_000


@pytest.mark.services
def test_entries_name_the_catalogue_of_their_time_and_the_one_before_stays(database_url, tmp_path) -> None:
    with connect(database_url) as connection:
        found_areas(connection, [1000])
        open_topic(connection)
        publish_hours_until(database_url, tmp_path / "ledger.jsonl", 1)
        found_areas(connection, [400, 600], since=T0 + 90 * DAY)
        publish_hours_until(database_url, tmp_path / "ledger.jsonl", 2)
        rows = connection.execute("SELECT entry, body, body_hash FROM publications ORDER BY position").fetchall()
        entries = [entry_of(entry) for entry, _, _ in rows]
        kept = [catalogue_of_hash(connection, entry.catalogue) for entry in entries]
        now = catalogue_bytes(IMPORT, published_areas(connection)[IMPORT.name], "UTC")
    assert kept[0] == kept[1] != kept[2] == now
    for entry, content, (_, body, body_hash) in zip(entries, kept, rows, strict=True):
        check_catalogue(entry, content)
        check_body(entry.header, entry.body, body)
        assert body_hash == digest(body)
        with pytest.raises(BrokenChain, match="not the one it names"):
            check_catalogue(entry, content + b" ")
    assert [[area.population for area in MetricCatalogue.model_validate_json(c).areas] for c in (kept[0], kept[2])] == [
        [1000],
        [1000, 400, 600],
    ]
