"""The facts about a city that it publishes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CityFacts:
    """The city of a node.

    `id` is its name in the federation, `names` its name by language (BCP 47), `country` an ISO 3166 code, `zone` an
    IANA time zone, `sources` the documents that the facts are from.
    """

    id: str
    name: str
    names: Mapping[str, str]
    country: str
    zone: str
    population: int
    sources: tuple[str, ...]
    districts: int
