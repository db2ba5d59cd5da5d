"""City files: what the shipped ones promise, and what the loader turns away."""

from collections import Counter
from itertools import combinations
from math import cos, hypot, radians
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cities import City, CityFileError, load_city, shipped_cities
from ingest.cities.neighbours import gabriel_edges

CITY = """
id = "twin"
name = "Twin"
names = { en = "Twin" }
country = "XX"
zone = "UTC"
latitude = 1.0
longitude = 2.0
population = 60
sources = ["a book"]
neighbours_from = "RULE"
"""
DISTRICT = """
[[districts]]
id = "ID"
name = "District ID"
kind = "ward"
population = POPULATION
population_quality = "census"
latitude = LATITUDE
longitude = 2.0
"""


def document(rule: str, extras: dict[str, str]) -> str:
    """Districts a, b and c on one meridian, in this order from the south, with 10, 20 and 30 inhabitants."""
    text = CITY.replace("RULE", rule)
    for number, (identity, extra) in enumerate(extras.items(), start=1):
        district = DISTRICT.replace("ID", identity).replace("POPULATION", str(number * 10))
        text += district.replace("LATITUDE", f"1.{number}") + extra + "\n"
    return text


LISTED = document("list", {"a": 'neighbours = ["b"]', "b": 'neighbours = ["c", "a"]', "c": 'neighbours = ["b"]'})
DERIVED = document("centres", {"a": "", "b": "", "c": ""})


def load_text(folder: Path, text: str) -> City:
    path = folder / "twin.toml"
    path.write_text(text, encoding="utf-8")
    return load_city(path)


def graph_of(city: City) -> dict[str, tuple[str, ...]]:
    return {district.id: district.neighbours for district in city.districts}


def test_two_cities_are_shipped() -> None:
    assert shipped_cities() == ("ho-chi-minh-city", "isfahan")


@pytest.fixture(params=shipped_cities())
def shipped(request: pytest.FixtureRequest) -> City:
    return load_city(str(request.param))


def test_a_shipped_city_is_loaded_by_its_id() -> None:
    assert [load_city(name).id for name in shipped_cities()] == list(shipped_cities())


def test_a_shipped_city_has_names_in_the_three_languages_and_a_clock(shipped: City) -> None:
    assert set(shipped.names) == {"en", "fa", "vi"}
    assert ZoneInfo(shipped.zone).key == shipped.zone
    assert shipped.sources


def test_populations_add_up_to_the_citys(shipped: City) -> None:
    assert sum(district.population for district in shipped.districts) == shipped.population


def test_estimated_populations_are_round_numbers(shipped: City) -> None:
    estimated = [district for district in shipped.districts if district.population_quality == "estimated"]
    assert all(district.population % 1000 == 0 for district in estimated)


def test_neighbours_are_mutual_and_no_district_is_its_own(shipped: City) -> None:
    graph = graph_of(shipped)
    assert all(here in graph[there] for here, neighbours in graph.items() for there in neighbours)
    assert all(here not in neighbours for here, neighbours in graph.items())


def test_every_district_can_be_reached_over_neighbours(shipped: City) -> None:
    graph = graph_of(shipped)
    reached = {shipped.districts[0].id}
    while beyond := {there for here in reached for there in graph[here]} - reached:
        reached |= beyond
    assert reached == set(graph)


def test_a_shipped_city_can_be_a_key(shipped: City) -> None:
    assert {shipped: 1}[load_city(shipped.id)] == 1


def test_isfahan_has_fifteen_districts() -> None:
    city = load_city("isfahan")
    assert [district.id for district in city.districts] == [f"isfahan-{number:02d}" for number in range(1, 16)]
    assert {district.population_quality for district in city.districts} == {"estimated"}


def test_ho_chi_minh_city_has_its_168_units() -> None:
    city = load_city("ho-chi-minh-city")
    assert Counter(district.kind for district in city.districts) == {"ward": 113, "commune": 54, "special-zone": 1}
    assert Counter(district.population_quality for district in city.districts) == {"published": 143, "estimated": 25}


def test_con_dao_is_connected_by_a_ferry_only() -> None:
    assert graph_of(load_city("ho-chi-minh-city"))["hcmc-con-dao"] == ("hcmc-vung-tau",)


def test_an_operators_own_file_is_read_by_its_path(tmp_path: Path) -> None:
    city = load_text(tmp_path, LISTED)
    assert city.population == 60
    assert graph_of(city) == {"a": ("b",), "b": ("a", "c"), "c": ("b",)}
    assert load_city(str(tmp_path / "twin.toml")) == city


def test_a_district_between_two_others_separates_them(tmp_path: Path) -> None:
    assert graph_of(load_text(tmp_path, DERIVED)) == {"a": ("b",), "b": ("a", "c"), "c": ("b",)}


def test_an_island_has_only_its_extra_neighbours(tmp_path: Path) -> None:
    text = document("centres", {"a": "", "b": 'island = true\nextra_neighbours = ["c"]', "c": ""})
    assert graph_of(load_text(tmp_path, text)) == {"a": ("c",), "b": ("c",), "c": ("a", "b")}


def test_a_derived_neighbour_can_be_removed(tmp_path: Path) -> None:
    text = document("centres", {"a": 'extra_neighbours = ["c"]', "b": 'not_neighbours = ["a"]', "c": ""})
    assert graph_of(load_text(tmp_path, text)) == {"a": ("c",), "b": ("c",), "c": ("a", "b")}


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (LISTED, 'id = "twin"', "id = twin", "is not TOML"),
        (LISTED, 'id = "twin"', "", "the city needs the text id"),
        (LISTED, 'country = "XX"', "country = 98", "the city needs the text country"),
        (LISTED, 'country = "XX"', 'county = "XX"', "the city has the unknown key county"),
        (LISTED, 'names = { en = "Twin" }', "names = {}", "the city needs names"),
        (LISTED, 'sources = ["a book"]', "", "the city needs sources"),
        (LISTED, 'sources = ["a book"]', "sources = [1]", "sources that are not a list of texts"),
        (LISTED, 'zone = "UTC"', 'zone = "Asia/Esfahan"', "the time zone Asia/Esfahan is not known"),
        (LISTED, 'zone = "UTC"', 'zone = "../UTC"', "the time zone ../UTC is not known"),
        (LISTED, "\nlatitude = 1.0", "\nlatitude = 90.5", "the city needs latitude, degrees from -90 to 90"),
        (LISTED, "latitude = 1.2", "latitude = nan", "district b needs latitude, degrees from -90 to 90"),
        (LISTED, "longitude = 2.0", "longitude = -181", "the city needs longitude, degrees from -180 to 180"),
        (LISTED, "longitude = 2.0", 'longitude = "2"', "the city needs longitude, degrees from -180 to 180"),
        (LISTED, "population = 20", "population = 0", "district b needs population, a whole number above 0"),
        (LISTED, "population = 20", "population = 2e1", "district b needs population, a whole number above 0"),
        (LISTED, "population = 60", "population = 61", "population is 61, but its districts' add up to 60"),
        (LISTED, '"census"', '"counted"', "population_quality counted; it is one of census, published, estimated"),
        (LISTED, 'kind = "ward"', "", "district a needs the text kind"),
        (LISTED, 'id = "b"', 'id = "a"', "the district id a occurs twice"),
        (
            LISTED,
            '["c", "a"]',
            '["c", "a", "d"]',
            "district b names the neighbour d, which is no district of this city",
        ),
        (LISTED, '["c", "a"]', '["c", "a", "b"]', "district b names itself as a neighbour"),
        (LISTED, '["c", "a"]', '["a"]', "district c names b as a neighbour, but b does not name c"),
        (LISTED, 'neighbours_from = "list"', "", "the city needs neighbours_from"),
        (
            LISTED,
            'neighbours_from = "list"',
            'neighbours_from = "centres"',
            "district number 1 has the unknown key neighbours",
        ),
        (DERIVED, "latitude = 1.2", "latitude = 1.1", "its neighbours cannot be derived: two centres are the same"),
        (DERIVED, 'id = "b"', 'id = "b"\nisland = true', "no chain of neighbours leads from district a to b"),
        (DERIVED, 'id = "b"', 'id = "b"\nisland = 1', "district b has island that is neither true nor false"),
        (DERIVED, 'id = "b"', 'id = "b"\nextra_neighbours = ["d"]', "district b names the neighbour d"),
        (DERIVED, 'id = "a"', 'id = "a"\nnot_neighbours = ["c"]', "district a says that c is no neighbour"),
        (DERIVED, 'id = "a"', 'id = "a"\nnot_neighbours = ["b"]', "no chain of neighbours leads from district a to b"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_what_is_wrong(
    tmp_path: Path, text: str, old: str, new: str, message: str
) -> None:
    assert old in text
    with pytest.raises(CityFileError) as refusal:
        load_text(tmp_path, text.replace(old, new, 1))
    assert str(refusal.value).startswith(f"{tmp_path / 'twin.toml'}: ")
    assert message in str(refusal.value)


def test_a_city_without_districts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CityFileError, match="the city needs districts"):
        load_text(tmp_path, CITY.replace("RULE", "list"))


def test_a_districts_entry_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CityFileError, match="district number 1 is not a table"):
        load_text(tmp_path, CITY.replace("RULE", "list") + 'districts = ["a"]')


def test_two_parts_that_do_not_touch_are_refused(tmp_path: Path) -> None:
    text = document("list", {"a": 'neighbours = ["b"]', "b": 'neighbours = ["a"]', "c": "neighbours = []"})
    with pytest.raises(CityFileError, match="no chain of neighbours leads from district a to c"):
        load_text(tmp_path, text)


def test_a_name_that_is_not_shipped_is_refused_with_those_that_are() -> None:
    with pytest.raises(CityFileError, match="atlantis: no such city is shipped; give ho-chi-minh-city, isfahan or"):
        load_city("atlantis")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CityFileError, match=r"none\.toml: cannot be read"):
        load_city(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CityFileError, match=r"binary\.toml: cannot be read"):
        load_city(path)


centres = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda place: (10 + place[0] / 100, 106 + place[1] / 100)),
    unique=True,
    max_size=12,
)


@given(centres)
def test_the_gabriel_graph_agrees_with_its_definition(places: list[tuple[float, float]]) -> None:
    shrink = cos(radians(sum(latitude for latitude, _ in places) / len(places))) if places else 1.0
    flat = [(longitude * shrink, latitude) for latitude, longitude in places]
    edges = set(gabriel_edges(places))
    for first, second in combinations(range(len(flat)), 2):
        (ax, ay), (bx, by) = flat[first], flat[second]
        radius = hypot(ax - bx, ay - by) / 2
        gap = min(
            (
                hypot(x - (ax + bx) / 2, y - (ay + by) / 2) - radius
                for third, (x, y) in enumerate(flat)
                if third not in (first, second)
            ),
            default=1.0,
        )
        # On the circle itself rounding decides, and either answer will do.
        if abs(gap) > 1e-9:
            assert ((first, second) in edges) == (gap > 0)


@given(centres.filter(bool))
def test_the_gabriel_graph_is_connected(places: list[tuple[float, float]]) -> None:
    edges = gabriel_edges(places)
    reached = {0}
    while beyond := {end for edge in edges if reached & set(edge) for end in edge} - reached:
        reached |= beyond
    assert len(reached) == len(places)
